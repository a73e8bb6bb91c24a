package dev.sandkeeper.server.crash;

import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.Hold;
import dev.sandkeeper.v1.LlmCost;
import dev.sandkeeper.v1.RecordLlmUsageRequest;
import dev.sandkeeper.v1.RecordLlmUsageResponse;
import dev.sandkeeper.v1.ReleaseRequest;
import dev.sandkeeper.v1.ReserveRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.SettleRequest;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;

/**
 * Somebody who spends, or who runs sandboxes, on two servers of which any may be gone. Each call is
 * repeated, with the same request id, until it is answered.
 */
final class ChaosCaller implements AutoCloseable {
  private static final long PATIENCE_NANOS = Duration.ofSeconds(60).toNanos();
  private static final long PAUSE_NANOS = Duration.ofMillis(100).toNanos();
  private static final long THINKING_NANOS = Duration.ofMillis(5).toNanos();
  private static final Duration SANDBOX_TIMEOUT = Duration.ofSeconds(20);
  private static final long MAX_AMOUNT = 1_000_000;

  /** What says nothing of whether the call was done. */
  private static final Set<Status.Code> UNCERTAIN =
      EnumSet.of(
          Status.Code.UNAVAILABLE,
          Status.Code.DEADLINE_EXCEEDED,
          Status.Code.CANCELLED,
          Status.Code.ABORTED);

  private static final Set<Status.Code> BUGS =
      EnumSet.of(Status.Code.INTERNAL, Status.Code.UNKNOWN);

  private final List<CuttingWay> ways;
  private final String key;
  private final Acknowledged acknowledged;
  private final AtomicBoolean over;
  private final Random random;
  private final Client[] clients;

  /**
   * Makes a caller.
   *
   * @param ways to the servers
   * @param key an API key's secret
   * @param acknowledged takes what the servers answer
   * @param over when true, the caller brings to an end what it has begun and returns
   */
  ChaosCaller(
      List<CuttingWay> ways, String key, Acknowledged acknowledged, AtomicBoolean over, long seed) {
    this.ways = ways;
    this.key = key;
    this.acknowledged = acknowledged;
    this.over = over;
    this.random = new Random(seed);
    this.clients = ways.stream().map(way -> new Client(way.port(), key)).toArray(Client[]::new);
  }

  /** Sets money aside, settles and releases it, and records what was spent, again and again. */
  void spend() {
    while (!over.get()) {
      if (random.nextInt(4) == 0) {
        record();
      } else {
        reserveAndEnd();
      }
      LockSupport.parkNanos(THINKING_NANOS);
    }
  }

  private void reserveAndEnd() {
    long amount = random.nextLong(1, MAX_AMOUNT);
    ReserveRequest request =
        ReserveRequest.newBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .setCost(LlmCost.newBuilder().setAmountNanoUsd(amount))
            .build();
    Optional<Hold> reserved =
        anywhere("Reserve", client -> client.quotas().reserve(request).getHold());
    if (reserved.isEmpty()) {
      return;
    }
    String id = reserved.get().getHoldId();
    acknowledged.hold(id, new Acknowledged.Hold("OPEN", amount, 0));
    if (random.nextInt(3) == 0) {
      ReleaseRequest release = ReleaseRequest.newBuilder().setHoldId(id).build();
      anywhere("Release of " + id, client -> client.quotas().release(release).getHold())
          .ifPresent(_ -> acknowledged.hold(id, new Acknowledged.Hold("RELEASED", amount, 0)));
      return;
    }
    long spent = random.nextLong(amount + 1);
    SettleRequest settle =
        SettleRequest.newBuilder()
            .setHoldId(id)
            .setCost(LlmCost.newBuilder().setAmountNanoUsd(spent))
            .build();
    anywhere("Settle of " + id, client -> client.quotas().settle(settle).getHold())
        .ifPresent(_ -> acknowledged.hold(id, new Acknowledged.Hold("SETTLED", amount, spent)));
  }

  private void record() {
    long amount = random.nextLong(1, MAX_AMOUNT);
    RecordLlmUsageRequest request =
        RecordLlmUsageRequest.newBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .setCost(LlmCost.newBuilder().setAmountNanoUsd(amount))
            .build();
    Optional<RecordLlmUsageResponse> recorded =
        anywhere("RecordLlmUsage", client -> client.costs().recordLlmUsage(request));
    // Nothing was held for it before.
    recorded.ifPresent(answer ->
        acknowledged.hold(answer.getHoldId(), new Acknowledged.Hold("SETTLED", 0, amount)));
  }

  /** Creates a sandbox, runs something in it and ends it, again and again, always on one server. */
  void run(int server) {
    while (!over.get()) {
      CreateSandboxRequest request =
          Client.sandbox(SANDBOX_TIMEOUT).toBuilder()
              .setRequestId(UUID.randomUUID().toString())
              .build();
      Optional<Sandbox> created =
          on(server, client -> client.sandboxes().createSandbox(request).getSandbox());
      created
          .map(Sandbox::getSandboxId)
          .ifPresent(id -> {
            acknowledged.created(id);
            execute(server, id);
            // Some are left to whoever ends them.
            if (random.nextInt(4) > 0) {
              terminate(server, id);
            }
          });
    }
  }

  private void execute(int server, String sandboxId) {
    ExecuteRequest request =
        Client.bash(sandboxId, "echo done").toBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .build();
    on(server, client -> events(client.sandboxes().execute(request)))
        // What was lost before it started has told no id by which the books could be asked.
        .filter(events -> events.getFirst().hasStarted() && events.getLast().hasFinished())
        .ifPresent(events ->
            acknowledged.executed(
                events.getFirst().getStarted().getExecutionId(),
                events
                    .getLast()
                    .getFinished()
                    .getReason()
                    .name()
                    .substring("FINISH_REASON_".length())));
  }

  private static List<ExecutionEvent> events(Iterator<ExecuteResponse> stream) {
    List<ExecutionEvent> events = new ArrayList<>();
    stream.forEachRemaining(response -> events.add(response.getEvent()));
    return events;
  }

  private void terminate(int server, String sandboxId) {
    TerminateSandboxRequest request =
        TerminateSandboxRequest.newBuilder().setSandboxId(sandboxId).build();
    on(server, client -> client.sandboxes().terminateSandbox(request).getSandbox())
        .filter(ended -> ended.getState() == SandboxState.SANDBOX_STATE_TERMINATED)
        .ifPresent(_ -> acknowledged.terminated(sandboxId));
  }

  /** Makes a call of whichever server answers; any refusal contradicts what was answered before. */
  private <T> Optional<T> anywhere(String what, Function<Client, T> call) {
    Optional<T> answer = Optional.empty();
    try {
      answer = untilAnswered(random.nextInt(clients.length), 1, call);
      if (answer.isEmpty()) {
        acknowledged.contradiction(what + " was not answered");
      }
    } catch (StatusRuntimeException e) {
      acknowledged.contradiction(what + " was refused: " + e.getStatus());
    }
    return answer;
  }

  /** Makes a call of one server; a refusal is no answer, as the sandbox may be lost. */
  private <T> Optional<T> on(int server, Function<Client, T> call) {
    try {
      return untilAnswered(server, 0, call);
    } catch (StatusRuntimeException e) {
      if (BUGS.contains(e.getStatus().getCode())) {
        acknowledged.contradiction("A call on a sandbox failed: " + e.getStatus());
      }
      return Optional.empty();
    }
  }

  private <T> Optional<T> untilAnswered(int first, int step, Function<Client, T> call) {
    long limit = System.nanoTime() + PATIENCE_NANOS;
    for (int server = first; System.nanoTime() - limit < 0; server += step) {
      int used = server % clients.length;
      try {
        return Optional.of(call.apply(clients[used]));
      } catch (StatusRuntimeException e) {
        if (!isUncertain(e.getStatus())) {
          throw e;
        }
        // A new connection, as the channel's own waits longer and longer between its attempts.
        clients[used].close();
        clients[used] = new Client(ways.get(used).port(), key);
        LockSupport.parkNanos(PAUSE_NANOS);
      }
    }
    return Optional.empty();
  }

  /** What has a cause was not said by a server: gRPC so tells of a connection cut as it is used. */
  private static boolean isUncertain(Status status) {
    return UNCERTAIN.contains(status.getCode())
        || (status.getCode() == Status.Code.UNKNOWN && status.getCause() != null);
  }

  @Override
  public void close() {
    for (Client client : clients) {
      client.close();
    }
  }
}
