package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.Finished;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The events of an execution, in order: {@code started} first, {@code finished} last. Heartbeats
 * are left out.
 *
 * <p>The next event is asked for when the one before it was taken, so a reader who takes its time
 * holds the stream back, not fills the memory. Closing cancels the stream and leaves the program
 * running; {@link SandkeeperClient#attach} goes on behind {@link #lastSequence()}. Not safe for use
 * by several threads at once, but for {@link #close()}.
 */
public final class ExecutionStream implements Iterator<ExecutionEvent>, AutoCloseable {
  /** What both kinds of stream have in common: messages that carry an event. */
  @FunctionalInterface
  interface Source {
    /** Waits for the next message's event; null at the stream's end. */
    @Nullable ExecutionEvent read() throws StatusException, InterruptedException;
  }

  private final BlockingClientCall<?, ?> call;
  private final Source source;
  private @Nullable ExecutionEvent next;
  private String executionId;
  private long lastSequence;

  private ExecutionStream(
      BlockingClientCall<?, ?> call, Source source, String executionId, long lastSequence) {
    this.call = call;
    this.source = source;
    this.executionId = executionId;
    this.lastSequence = lastSequence;
  }

  static <T> ExecutionStream of(
      BlockingClientCall<?, T> call,
      Function<T, ExecutionEvent> event,
      String executionId,
      long lastSequence) {
    Source source =
        () -> {
          T message = call.read();
          return message == null ? null : event.apply(message);
        };
    return new ExecutionStream(call, source, executionId, lastSequence);
  }

  /**
   * Waits for the next event.
   *
   * @return false when the stream has ended
   * @throws SandkeeperException when the stream broke; what was read stays valid
   */
  @Override
  public boolean hasNext() {
    while (next == null) {
      @Nullable ExecutionEvent event = Calls.step(call, source::read);
      if (event == null) {
        return false;
      }
      if (!event.hasHeartbeat()) {
        next = event;
      }
    }
    return true;
  }

  /**
   * Returns the next event, waiting for it.
   *
   * @throws NoSuchElementException when the stream has ended
   * @throws SandkeeperException when the stream broke
   */
  @Override
  public ExecutionEvent next() {
    ExecutionEvent event = hasNext() ? next : null;
    if (event == null) {
      throw new NoSuchElementException("the stream has ended");
    }
    next = null;
    lastSequence = event.getSequence();
    if (event.hasStarted()) {
      executionId = event.getStarted().getExecutionId();
    }
    return event;
  }

  /**
   * Reads to the end and hands on what the program writes, in order, on the calling thread.
   *
   * @param stdout takes the bytes of standard output, cut anywhere
   * @param stderr takes the bytes of standard error, cut anywhere
   * @return how the execution ended
   * @throws SandkeeperException when the stream broke before the execution ended
   */
  public Finished await(Consumer<ByteString> stdout, Consumer<ByteString> stderr) {
    while (hasNext()) {
      ExecutionEvent event = next();
      switch (event.getEventCase()) {
        case STDOUT -> stdout.accept(event.getStdout().getData());
        case STDERR -> stderr.accept(event.getStderr().getData());
        case FINISHED -> {
          return event.getFinished();
        }
        default -> {
          // Neither output nor the end.
        }
      }
    }
    throw SandkeeperException.local(
        Status.Code.DATA_LOSS, "The stream ended before the execution did; attach again.", null);
  }

  /** Returns the execution's id; empty until the {@code started} event was taken. */
  public String executionId() {
    return executionId;
  }

  /** Returns the sequence number of the last event taken; 0 before the first. */
  public long lastSequence() {
    return lastSequence;
  }

  /** Ends the stream, not the program. Does nothing when the stream has ended. */
  @Override
  public void close() {
    call.cancel("closed by the client", null);
  }
}
