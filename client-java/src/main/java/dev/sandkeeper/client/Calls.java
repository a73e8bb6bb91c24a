package dev.sandkeeper.client;

import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.AbstractStub;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Makes unary calls, each within the call timeout, and turns what gRPC throws into {@link
 * SandkeeperException}.
 *
 * <p>A call that is safe to repeat is tried up to three times while the answer is UNAVAILABLE.
 */
final class Calls {
  private static final int MOST_TRIES = 3;
  private static final Duration SHORTEST_WAIT = Duration.ofMillis(100);
  private static final Duration LONGEST_WAIT = Duration.ofSeconds(2);

  private final ManagedChannel channel;
  private final Duration timeout;
  private final Timing timing;

  /** A call on a stub that has its deadline, or a step of a stream. */
  @FunctionalInterface
  interface Call<S, T extends @Nullable Object> {
    T run(S stub) throws StatusException, InterruptedException;
  }

  /**
   * Makes the calls of a channel.
   *
   * @param timeout what a call may take, all its tries together
   */
  Calls(ManagedChannel channel, Duration timeout, Timing timing) {
    this.channel = channel;
    this.timeout = timeout;
    this.timing = timing;
  }

  /** Makes a call that changes something each time it arrives, once. */
  <S extends AbstractStub<S>, T> T once(S stub, Call<S, T> call) {
    return attempt(stub.withDeadline(deadline()), call);
  }

  /** Makes a call that changes nothing, or no more by arriving twice. */
  <S extends AbstractStub<S>, T> T repeatable(S stub, Call<S, T> call) {
    return repeatable(stub, call, "");
  }

  /**
   * Makes such a call.
   *
   * @param finalReason the reason after which the same request can only fail again
   */
  <S extends AbstractStub<S>, T> T repeatable(S stub, Call<S, T> call, String finalReason) {
    Deadline deadline = deadline();
    S timed = stub.withDeadline(deadline);
    Backoff backoff = new Backoff(SHORTEST_WAIT, LONGEST_WAIT, timing.random());
    for (int tries = 1; ; tries++) {
      try {
        return attempt(timed, call);
      } catch (SandkeeperException e) {
        Duration wait = backoff.next(e.retryDelay());
        if (tries == MOST_TRIES
            || e.code() != Status.Code.UNAVAILABLE
            || channel.isShutdown()
            || e.reason().equals(finalReason)
            || wait.toNanos() >= deadline.timeRemaining(TimeUnit.NANOSECONDS)) {
          throw e;
        }
        pause(wait);
        channel.resetConnectBackoff(); // the wait is over, whatever gRPC's own says
      }
    }
  }

  private Deadline deadline() {
    return Deadline.after(timeout.toNanos(), TimeUnit.NANOSECONDS);
  }

  private void pause(Duration wait) {
    try {
      timing.sleeper().sleep(wait);
    } catch (InterruptedException e) {
      throw interrupted(e);
    }
  }

  /** Runs a call, or a step of a stream. */
  static <S, T extends @Nullable Object> T attempt(S stub, Call<S, T> call) {
    try {
      return call.run(stub);
    } catch (StatusException e) {
      throw SandkeeperException.of(e.getStatus().withCause(e), e.getTrailers());
    } catch (InterruptedException e) {
      throw interrupted(e);
    }
  }

  /** Makes the exception for a thread that was interrupted, which stays so. */
  static SandkeeperException interrupted(InterruptedException cause) {
    Thread.currentThread().interrupt();
    return SandkeeperException.local(
        Status.Code.CANCELLED, "The thread was interrupted in the call.", cause);
  }
}
