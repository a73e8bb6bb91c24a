package dev.sandkeeper.server.egress;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Transactions;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Writes every connection to the audit trail, also those that were refused: now and then, one event
 * for all since that had the same target and verdict, with their number and their bytes. However
 * many targets a sandbox thinks of, there is a bound on the events that it causes.
 */
public final class ConnectionLog {
  private static final Logger logger = LoggerFactory.getLogger(ConnectionLog.class);

  /** The most targets of one sandbox that are told apart from one writing to the next. */
  static final int MAX_TARGETS = 32;

  private static final Target OTHERS = new Target("other targets", 0, "");

  private final Transactions transactions;
  private final AuditLog auditLog;
  private final UsedBytes usedBytes;
  private final BillingClock clock;

  /** What is not written yet. Guarded by this. */
  private final Map<EgressSource, Map<Line, Tally>> pending = new HashMap<>();

  /** Makes an empty log. */
  public ConnectionLog(
      Transactions transactions, AuditLog auditLog, UsedBytes usedBytes, BillingClock clock) {
    this.transactions = transactions;
    this.auditLog = auditLog;
    this.usedBytes = usedBytes;
    this.clock = clock;
  }

  /**
   * What was to be connected to.
   *
   * @param host its name, or what was said in place of one
   * @param port the port; 0 when none was understood
   * @param address the address that was connected to; empty for none
   */
  public record Target(String host, int port, String address) {
    private static final int MAX_LENGTH = 253;

    /** Makes it one line of ASCII, as it comes from the sandbox. */
    public Target {
      String ascii = host.replaceAll("[^!-~ ]", "?");
      host = ascii.substring(0, Math.min(ascii.length(), MAX_LENGTH));
    }

    /** Nothing that could be understood. */
    public static final Target NONE = new Target("unknown target", 0, "");

    private String shown() {
      return host + (port == 0 ? "" : ":" + port) + (address.isEmpty() ? "" : " at " + address);
    }
  }

  private record Line(Target target, Verdict verdict) {}

  private record Tally(long connections, long sent, long received) {
    Tally plus(Tally more) {
      return new Tally(connections + more.connections, sent + more.sent, received + more.received);
    }

    String shown() {
      return " connections=" + connections + " sent=" + sent + " received=" + received;
    }
  }

  /** Notes a connection that was made or refused. */
  public void connected(EgressSource source, Target target, Verdict verdict) {
    note(source, target, verdict, new Tally(1, 0, 0));
  }

  /** Notes what went through a connection that was made, in bytes since the last time. */
  public void carried(EgressSource source, Target target, long sent, long received) {
    if (sent > 0 || received > 0) {
      note(source, target, Verdict.ALLOWED, new Tally(0, sent, received));
    }
  }

  private synchronized void note(EgressSource source, Target target, Verdict verdict, Tally tally) {
    add(pending, source, new Line(target, verdict), tally);
  }

  private static void add(
      Map<EgressSource, Map<Line, Tally>> all, EgressSource source, Line line, Tally tally) {
    Map<Line, Tally> lines = all.computeIfAbsent(source, _ -> new LinkedHashMap<>());
    boolean fits = lines.containsKey(line) || lines.size() < MAX_TARGETS;
    lines.merge(fits ? line : new Line(OTHERS, line.verdict()), tally, Tally::plus);
  }

  /** Writes what is not written yet; what cannot be written is tried again the next time. */
  public void flush() {
    Map<EgressSource, Map<Line, Tally>> due;
    synchronized (this) {
      due = new HashMap<>(pending);
      pending.clear();
    }
    due.forEach((source, lines) -> {
      try {
        write(source, lines);
      } catch (RuntimeException e) {
        logger.atWarn().setCause(e).log("Connections are not in the audit trail yet");
        synchronized (this) {
          lines.forEach((line, tally) -> add(pending, source, line, tally));
        }
      }
    });
  }

  private void write(EgressSource source, Map<Line, Tally> lines) {
    transactions.run(transaction -> {
      long bytes =
          lines.values().stream().mapToLong(tally -> tally.sent() + tally.received()).sum();
      if (bytes > 0) {
        usedBytes.add(transaction, source.sandboxId(), bytes);
      }
      lines.forEach((line, tally) ->
          auditLog.append(
              transaction,
              AuditEntry.of(source.tenantId(), clock.now(), AuditOperation.CONNECT)
                  .on(source.sandboxId(), source.attribution())
                  .withOutcome(
                      line.verdict() == Verdict.ALLOWED ? AuditEntry.OK : line.verdict().name())
                  .withDetail(line.target().shown() + tally.shown())));
    });
  }
}
