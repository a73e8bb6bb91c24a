package dev.sandkeeper.client;

import io.grpc.CallOptions;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** Brings the events of an execution to a listener, on the threads of the channel. */
final class ListenerFlow implements ExecutionFlow.Receiver {
  private final ExecutionListener listener;
  private final ExecutionFlow flow;
  private final CompletableFuture<ExecutionEvent.Finished> end = new CompletableFuture<>();

  private ListenerFlow(
      CallOptions options, ExecutionStream.FlowFactory flows, ExecutionListener listener) {
    this.listener = listener;
    this.flow = flows.create(options, this);
  }

  /** Begins; see {@link SandkeeperClient#execute} for what the future does. */
  static CompletableFuture<ExecutionEvent.Finished> start(
      CallOptions options, ExecutionStream.FlowFactory flows, ExecutionListener listener) {
    ListenerFlow started = new ListenerFlow(options, flows, listener);
    // For a caller who cancels it, and a listener that fails; a flow that is over stays as it is.
    var unused = started.end.whenComplete((finished, failure) -> started.flow.cancel());
    started.flow.start();
    return started.end;
  }

  @Override
  public void onEvent(dev.sandkeeper.v1.ExecutionEvent event) {
    ExecutionEvent typed = EventMapper.fromProto(event);
    try {
      EventMapper.tell(listener, typed);
    } catch (RuntimeException | Error e) {
      end.completeExceptionally(e);
      return;
    }
    flow.taken();
    if (typed instanceof ExecutionEvent.Finished finished) {
      end.complete(finished);
    }
  }

  @Override
  public void onEnd(Optional<SandkeeperException> failure) {
    end.completeExceptionally(failure.orElseGet(ExecutionStream::endedEarly));
  }
}
