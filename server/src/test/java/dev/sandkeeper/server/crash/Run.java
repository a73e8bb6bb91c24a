package dev.sandkeeper.server.crash;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.Finished;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** The events of one execution as they come. */
final class Run implements StreamObserver<ExecuteResponse> {
  private static final long PATIENCE_SECONDS = 60;

  private final List<ExecutionEvent> events = new CopyOnWriteArrayList<>();
  private final CompletableFuture<String> executionId = new CompletableFuture<>();
  private final CompletableFuture<Finished> finished = new CompletableFuture<>();
  private final CompletableFuture<Boolean> over = new CompletableFuture<>();

  @Override
  public void onNext(ExecuteResponse response) {
    next(response.getEvent());
  }

  /** Returns the same for a stream that was attached. */
  StreamObserver<AttachExecutionResponse> attached() {
    return new StreamObserver<>() {
      @Override
      public void onNext(AttachExecutionResponse response) {
        next(response.getEvent());
      }

      @Override
      public void onError(Throwable cause) {
        Run.this.onError(cause);
      }

      @Override
      public void onCompleted() {
        Run.this.onCompleted();
      }
    };
  }

  private void next(ExecutionEvent event) {
    events.add(event);
    if (event.hasStarted()) {
      executionId.complete(event.getStarted().getExecutionId());
    }
    if (event.hasFinished()) {
      finished.complete(event.getFinished());
    }
  }

  @Override
  public void onError(Throwable cause) {
    executionId.completeExceptionally(cause);
    finished.completeExceptionally(cause);
    over.complete(false);
  }

  @Override
  public void onCompleted() {
    IllegalStateException missing = new IllegalStateException("the event did not come: " + events);
    executionId.completeExceptionally(missing);
    finished.completeExceptionally(missing);
    over.complete(true);
  }

  List<ExecutionEvent> events() {
    return events;
  }

  /** Waits for its start and returns its id. */
  String executionId() throws ExecutionException, InterruptedException, TimeoutException {
    return executionId.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  /** Waits for its end. */
  Finished finished() throws ExecutionException, InterruptedException, TimeoutException {
    return finished.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  /** Waits for the end of the stream; true when it was a good one. */
  boolean over() throws ExecutionException, InterruptedException, TimeoutException {
    return over.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  String stdout() {
    return events.stream()
        .map(event -> event.getStdout().getData())
        .reduce(ByteString.EMPTY, ByteString::concat)
        .toStringUtf8();
  }
}
