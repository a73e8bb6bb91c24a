package dev.sandkeeper.server.crash;

import java.io.IOException;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;

/** What callers were told had happened, kept by themselves and compared with the books. */
final class Acknowledged {
  /**
   * A hold as its caller knows it.
   *
   * @param state OPEN, SETTLED or RELEASED
   * @param amount nano-USD held
   * @param spent nano-USD booked
   */
  record Hold(String state, long amount, long spent) {}

  private final Map<String, Hold> holds = new ConcurrentHashMap<>();
  private final Map<String, Boolean> sandboxes = new ConcurrentHashMap<>();
  private final Map<String, String> executions = new ConcurrentHashMap<>();
  private final Queue<String> contradictions = new ConcurrentLinkedQueue<>();
  private final AtomicInteger answers = new AtomicInteger();

  void hold(String holdId, Hold hold) {
    holds.put(holdId, hold);
    answers.incrementAndGet();
  }

  void created(String sandboxId) {
    sandboxes.put(sandboxId, false);
    answers.incrementAndGet();
  }

  void terminated(String sandboxId) {
    sandboxes.put(sandboxId, true);
    answers.incrementAndGet();
  }

  void executed(String executionId, String reason) {
    executions.put(executionId, reason);
    answers.incrementAndGet();
  }

  /** An answer that cannot be, after what was answered before. */
  void contradiction(String what) {
    contradictions.add(what);
  }

  /** Returns how many answers there were. */
  int answers() {
    return answers.get();
  }

  /** Says what of it is not as the books have it. */
  List<String> missing(ServerProcess server) throws IOException, SQLException {
    List<String> missing = new ArrayList<>(contradictions);
    Map<String, String> booked =
        pairs(
            server,
            "select h.hold_id || '=' || h.state || ' ' || h.amount_nano_usd || ' ' ||"
                + " coalesce((select sum(c.amount_nano_usd) from cost_record c"
                + " where c.hold_id = h.hold_id), 0) from hold h where h.kind = 'LLM'");
    holds.forEach((id, hold) -> {
      String told = hold.state() + " " + hold.amount() + " " + hold.spent();
      compare(missing, "hold " + id, told, booked.get(id));
    });
    if (booked.size() > holds.size()) {
      missing.add("there are " + booked.size() + " holds, of which callers know " + holds.size());
    }
    Map<String, String> rows =
        pairs(server, "select sandbox_id || '=' || (end_time is not null) from sandbox");
    sandboxes.forEach((id, terminated) -> {
      String ended = rows.get(id);
      if (ended == null || (terminated && !ended.equals("true"))) {
        compare(missing, "sandbox " + id, "ended " + terminated, "ended " + ended);
      }
    });
    Map<String, String> reasons =
        pairs(server, "select execution_id || '=' || coalesce(reason, state) from execution");
    executions.forEach(
        (id, reason) -> compare(missing, "execution " + id, reason, reasons.get(id)));
    return missing;
  }

  private static void compare(
      List<String> missing,
      String what,
      String told,
      @org.jspecify.annotations.Nullable String booked) {
    if (!told.equals(booked)) {
      missing.add(what + ": the caller was told " + told + ", the books have " + booked);
    }
  }

  private static Map<String, String> pairs(ServerProcess server, String sql)
      throws IOException, SQLException {
    return server.query(sql).stream()
        .map(row -> row.split("=", 2))
        .collect(Collectors.toMap(pair -> pair[0], pair -> pair[1]));
  }

  /** Says how much work ran. */
  @Override
  public String toString() {
    Map<String, Long> states =
        holds.values().stream().collect(Collectors.groupingBy(Hold::state, Collectors.counting()));
    return "%d holds %s of %d nano-USD spent, %d sandboxes of which %d were ended by their callers, %d executions"
        .formatted(
            holds.size(),
            states,
            holds.values().stream().mapToLong(Hold::spent).sum(),
            sandboxes.size(),
            sandboxes.values().stream().filter(ended -> ended).count(),
            executions.size());
  }
}
