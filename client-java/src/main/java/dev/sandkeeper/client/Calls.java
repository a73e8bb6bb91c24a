package dev.sandkeeper.client;

import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import org.jspecify.annotations.Nullable;

/** Runs calls and turns what gRPC throws into {@link SandkeeperException}. */
final class Calls {
  private Calls() {}

  /** A call, or a step of a stream. */
  @FunctionalInterface
  interface Call<T extends @Nullable Object> {
    T run() throws StatusException, InterruptedException;
  }

  /** Makes a unary call. */
  static <T extends @Nullable Object> T unary(Call<T> call) {
    try {
      return call.run();
    } catch (StatusException e) {
      throw SandkeeperException.from(e);
    } catch (InterruptedException e) {
      throw interrupted(e);
    }
  }

  /** Takes a step of a stream; a thread that is interrupted in it cancels the whole stream. */
  static <T extends @Nullable Object> T step(BlockingClientCall<?, ?> stream, Call<T> step) {
    try {
      return step.run();
    } catch (StatusException e) {
      throw SandkeeperException.from(e);
    } catch (InterruptedException e) {
      stream.cancel("interrupted", e);
      throw interrupted(e);
    }
  }

  private static SandkeeperException interrupted(InterruptedException cause) {
    Thread.currentThread().interrupt();
    return SandkeeperException.local(
        Status.Code.CANCELLED, "The thread was interrupted in the call.", cause);
  }
}
