package dev.sandkeeper.client;

import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunOnceResponse;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Follows an execution to its end, from one call to the next: when a stream breaks, the events
 * behind the last one that came are asked for, so that the receiver gets each event once and in
 * order.
 *
 * <p>While the execution's id is not known, the same Execute or RunOnce is sent again, which its
 * request id makes harmless. How long a broken stream may go without a message is bounded.
 *
 * <p>A call begins only when the one before it is closed, so all callbacks come one after the
 * other, and with them everything here but {@link #cancel}.
 */
final class ExecutionFlow {
  private static final Duration SHORTEST_WAIT = Duration.ofMillis(100);
  private static final Duration LONGEST_WAIT = Duration.ofSeconds(5);

  /** Takes the events. */
  interface Receiver {
    /** Takes an event; {@link ExecutionFlow#taken} then makes room for another. */
    void onEvent(ExecutionEvent event);

    /**
     * Learns that nothing will follow; once, unless the flow was cancelled.
     *
     * @param failure why the stream failed; empty when it ended
     */
    void onEnd(Optional<SandkeeperException> failure);
  }

  private final Streams streams;
  private final CallOptions options;
  private final Consumer<ExecutionFlow> begin;
  private final Receiver receiver;
  private final Backoff backoff;
  private final Context context = Context.current();

  private String executionId;
  private long lastSequence;
  private Optional<Long> brokenSinceNanos = Optional.empty();
  private final AtomicInteger reattachments = new AtomicInteger();

  /** Guards the change of call against {@link #cancel}. */
  private final ReentrantLock lock = new ReentrantLock();

  private volatile @Nullable ServerStream<?, ?> stream;

  /** Nothing more is wanted, or nothing more can come. */
  private volatile boolean over;

  private ExecutionFlow(
      Streams streams,
      CallOptions options,
      Consumer<ExecutionFlow> begin,
      String executionId,
      long lastSequence,
      Receiver receiver) {
    this.streams = streams;
    this.options = options;
    this.begin = begin;
    this.executionId = executionId;
    this.lastSequence = lastSequence;
    this.receiver = receiver;
    this.backoff = new Backoff(SHORTEST_WAIT, LONGEST_WAIT, streams.timing().random());
  }

  /** Makes the flow of a run. */
  static ExecutionFlow execute(
      Streams streams, CallOptions options, ExecuteRequest request, Receiver receiver) {
    return begin(
        streams,
        options,
        SandboxServiceGrpc.getExecuteMethod(),
        request,
        ExecuteResponse::getEvent,
        receiver);
  }

  /**
   * Makes the flow of a run in a sandbox of its own. What comes beside the events has no number,
   * and is passed over.
   */
  static ExecutionFlow runOnce(
      Streams streams, CallOptions options, RunOnceRequest request, Receiver receiver) {
    return begin(
        streams,
        options,
        SandboxServiceGrpc.getRunOnceMethod(),
        request,
        RunOnceResponse::getEvent,
        receiver);
  }

  private static <Q, R> ExecutionFlow begin(
      Streams streams,
      CallOptions options,
      MethodDescriptor<Q, R> method,
      Q request,
      Function<R, ExecutionEvent> event,
      Receiver receiver) {
    return new ExecutionFlow(
        streams, options, flow -> flow.open(method, request, event), "", 0, receiver);
  }

  /** Makes the flow of an execution that was started before, behind an event. */
  static ExecutionFlow attach(
      Streams streams,
      CallOptions options,
      String executionId,
      long afterSequence,
      Receiver receiver) {
    return new ExecutionFlow(streams, options, unused -> {}, executionId, afterSequence, receiver);
  }

  /** Begins; the first callback may come before this returns. */
  void start() {
    if (executionId.isEmpty()) {
      begin.accept(this);
    } else {
      AttachExecutionRequest attach =
          AttachExecutionRequest.newBuilder()
              .setExecutionId(executionId)
              .setAfterSequence(lastSequence)
              .build();
      open(
          SandboxServiceGrpc.getAttachExecutionMethod(), attach, AttachExecutionResponse::getEvent);
    }
  }

  /** Says that the receiver is done with an event. */
  void taken() {
    ServerStream<?, ?> current = stream;
    if (current != null) {
      current.taken();
    }
  }

  /**
   * Ends the stream, not the program; nothing more comes. Any thread may call it. A stream that has
   * ended is left to close by itself: resets are what servers count against a connection.
   */
  void cancel() {
    ServerStream<?, ?> current;
    lock.lock();
    try {
      if (over) {
        return;
      }
      over = true;
      current = stream;
    } finally {
      lock.unlock();
    }
    if (current != null) {
      current.cancel();
    }
  }

  /** Returns how often the stream broke and was asked for again. */
  int reattachments() {
    return reattachments.get();
  }

  private <Q, R> void open(
      MethodDescriptor<Q, R> method, Q request, Function<R, ExecutionEvent> event) {
    ServerStream<Q, R> opened = new ServerStream<>(streams.channel().newCall(method, options));
    lock.lock();
    try {
      if (over) {
        return;
      }
      stream = opened;
    } finally {
      lock.unlock();
    }
    opened.start(
        request,
        new ClientCall.Listener<>() {
          @Override
          public void onMessage(R message) {
            receive(event.apply(message));
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            closed(status, trailers);
          }
        });
  }

  private void receive(ExecutionEvent event) {
    if (over) {
      return;
    }
    brokenSinceNanos = Optional.empty();
    backoff.reset();
    if (event.getSequence() <= lastSequence) { // had before, or a heartbeat, which has no number
      taken();
      return;
    }
    if (event.getSequence() != lastSequence + 1) {
      fail(
          SandkeeperException.local(
              Status.Code.DATA_LOSS,
              "Event "
                  + event.getSequence()
                  + " came after event "
                  + lastSequence
                  + "; what was between is lost.",
              null));
      return;
    }
    lastSequence = event.getSequence();
    switch (event.getEventCase()) {
      case STARTED -> executionId = event.getStarted().getExecutionId();
      case FINISHED -> over = true;
      case EVENT_NOT_SET -> { // of a kind that only newer clients know
        taken();
        return;
      }
      default -> {
        // Nothing that matters here.
      }
    }
    receiver.onEvent(event);
    if (event.hasFinished()) {
      receiver.onEnd(Optional.empty());
    }
  }

  private void closed(Status status, Metadata trailers) {
    if (over) {
      return;
    }
    if (status.isOk()) {
      over = true;
      receiver.onEnd(Optional.empty());
      return;
    }
    SandkeeperException failure = SandkeeperException.of(status, trailers);
    Duration wait = backoff.next(failure.retryDelay());
    if (!isBreak(failure)
        || streams.channel().isShutdown()
        || broken().plus(wait).compareTo(streams.reattachTimeout()) > 0) {
      fail(failure);
      return;
    }
    streams.timing().scheduler().runAfter(wait, () -> onExecutor(this::reopen));
  }

  /** Returns for how long the stream has been broken. */
  private Duration broken() {
    long now = streams.timing().nanoTime().getAsLong();
    long since = brokenSinceNanos.orElse(now);
    brokenSinceNanos = Optional.of(since);
    return Duration.ofNanos(now - since);
  }

  private void reopen() {
    reattachments.incrementAndGet();
    streams.channel().resetConnectBackoff(); // the wait is over, whatever gRPC's own says
    context.run(this::start);
  }

  private void onExecutor(Runnable task) {
    Executor executor = options.getExecutor();
    if (executor == null) {
      task.run();
    } else {
      executor.execute(task);
    }
  }

  private void fail(SandkeeperException failure) {
    cancel();
    receiver.onEnd(Optional.of(failure));
  }

  /**
   * Tells a connection that broke from a server that refused: what a server refuses it explains,
   * and only UNAVAILABLE passes.
   */
  private static boolean isBreak(SandkeeperException failure) {
    return switch (failure.code()) {
      case UNAVAILABLE -> true;
      case INTERNAL, UNKNOWN -> !failure.isFromServer();
      default -> false;
    };
  }
}
