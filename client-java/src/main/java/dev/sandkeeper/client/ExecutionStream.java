package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import io.grpc.CallOptions;
import io.grpc.Status;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * The events of an execution, in order, for one thread to read:
 *
 * <pre>{@code
 * try (ExecutionStream events = sandbox.python("print(6 * 7)").stream()) {
 *   for (ExecutionEvent event : events) {
 *     if (event instanceof ExecutionEvent.Stdout stdout) {
 *       stdout.data().writeTo(System.out);
 *     }
 *   }
 * }
 * }</pre>
 *
 * <p>When the connection breaks, the stream attaches again by itself behind the last event, so that
 * every event comes once; see {@link ClientBuilder#reattachTimeout}. Of an execution that is asked
 * for events no longer kept, because it wrote more than the server keeps while nobody was attached,
 * or because the server was started anew meanwhile, it fails with {@code OUT_OF_RANGE}, and {@link
 * SandkeeperClient#getExecution} says how the execution ended.
 *
 * <p>A reader who takes its time holds the stream that started the program, and with it the
 * program, back. After the stream broke the program is no longer held back.
 *
 * <p>Closing ends the stream and leaves the program running; {@link SandkeeperClient#attach} goes
 * on behind {@link #lastSequence()}. Only {@link #close()} may be called by other threads.
 */
public final class ExecutionStream implements Iterable<ExecutionEvent>, AutoCloseable {
  /** Makes a flow with these options for this receiver. */
  @FunctionalInterface
  interface FlowFactory {
    ExecutionFlow create(CallOptions options, ExecutionFlow.Receiver receiver);
  }

  private final CallerExecutor executor = new CallerExecutor();
  private final Reader events = new Reader();
  private final ExecutionFlow flow;
  private String executionId;
  private long lastSequence;

  private ExecutionStream(
      CallOptions options, FlowFactory flows, String executionId, long lastSequence) {
    this.flow = flows.create(options.withExecutor(executor), events);
    this.executionId = executionId;
    this.lastSequence = lastSequence;
  }

  /** Begins a stream. */
  static ExecutionStream start(
      CallOptions options, FlowFactory flows, String executionId, long lastSequence) {
    ExecutionStream stream = new ExecutionStream(options, flows, executionId, lastSequence);
    stream.flow.start();
    return stream;
  }

  /**
   * Returns the events that were not read yet; there is one iterator, however often it is asked
   * for. Its methods wait for the next event, and throw {@link SandkeeperException} when the stream
   * failed for good or was closed; what was read stays valid.
   */
  @Override
  public Iterator<ExecutionEvent> iterator() {
    return events;
  }

  /**
   * Reads to the end, on the calling thread.
   *
   * @return how the execution ended
   * @throws SandkeeperException when the stream failed before the execution ended
   */
  public ExecutionEvent.Finished await(ExecutionListener listener) {
    while (events.hasNext()) {
      ExecutionEvent event = events.next();
      EventMapper.tell(listener, event);
      if (event instanceof ExecutionEvent.Finished finished) {
        return finished;
      }
    }
    throw endedEarly();
  }

  /**
   * Reads to the end, on the calling thread, and hands on what the program writes.
   *
   * @param stdout takes the bytes of standard output, cut anywhere
   * @param stderr takes the bytes of standard error, cut anywhere
   * @return how the execution ended
   * @throws SandkeeperException when the stream failed before the execution ended
   */
  public ExecutionEvent.Finished await(Consumer<ByteString> stdout, Consumer<ByteString> stderr) {
    return await(
        new ExecutionListener() {
          @Override
          public void onStdout(ExecutionEvent.Stdout event) {
            stdout.accept(event.data());
          }

          @Override
          public void onStderr(ExecutionEvent.Stderr event) {
            stderr.accept(event.data());
          }
        });
  }

  /** Reads to the end and drops what comes; see {@link #await(ExecutionListener)}. */
  public ExecutionEvent.Finished await() {
    return await(new ExecutionListener() {});
  }

  /** Returns the execution's id; empty until the {@code Started} event was read. */
  public String executionId() {
    return executionId;
  }

  /** Returns the number of the last event read; 0 before the first. */
  public long lastSequence() {
    return lastSequence;
  }

  /** Returns how often the stream broke and was asked for again. */
  public int reattachments() {
    return flow.reattachments();
  }

  /** Ends the stream, not the program. Does nothing when the stream has ended. */
  @Override
  public void close() {
    flow.cancel();
    executor.abandon();
  }

  static SandkeeperException endedEarly() {
    return SandkeeperException.local(
        Status.Code.DATA_LOSS, "The stream ended before the execution did; attach again.", null);
  }

  /** Takes events as the flow brings them, and hands them to the one thread that reads. */
  private final class Reader implements Iterator<ExecutionEvent>, ExecutionFlow.Receiver {
    private final ArrayDeque<ExecutionEvent> ready = new ArrayDeque<>();
    private boolean ended;
    private Optional<SandkeeperException> failure = Optional.empty();

    @Override
    public boolean hasNext() {
      while (ready.isEmpty() && !ended) {
        runNext();
      }
      if (ready.isEmpty() && failure.isPresent()) {
        throw failure.get();
      }
      return !ready.isEmpty();
    }

    @Override
    public ExecutionEvent next() {
      if (!hasNext()) {
        throw new NoSuchElementException("the stream has ended");
      }
      ExecutionEvent event = ready.remove();
      flow.taken();
      lastSequence = event.sequence();
      if (event instanceof ExecutionEvent.Started started) {
        executionId = started.executionId();
      }
      return event;
    }

    @Override
    public void onEvent(dev.sandkeeper.v1.ExecutionEvent event) {
      ready.add(EventMapper.fromProto(event));
    }

    @Override
    public void onEnd(Optional<SandkeeperException> failure) {
      ended = true;
      this.failure = failure;
      executor.abandon();
    }

    private void runNext() {
      try {
        if (!executor.runNext()) {
          throw SandkeeperException.local(Status.Code.CANCELLED, "The stream was closed.", null);
        }
      } catch (InterruptedException e) {
        close();
        throw Calls.interrupted(e);
      }
    }
  }
}
