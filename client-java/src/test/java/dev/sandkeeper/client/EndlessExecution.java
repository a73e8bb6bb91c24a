package dev.sandkeeper.client;

import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/** A server with an execution that writes as long as the stream takes it. */
final class EndlessExecution extends SandboxServiceGrpc.SandboxServiceImplBase {
  private final AtomicLong sent = new AtomicLong();
  private final CountDownLatch cancelled = new CountDownLatch(1);

  /** Returns how many events were sent. */
  long sent() {
    return sent.get();
  }

  /** Waits until the call was cancelled; false when it was not. */
  boolean awaitCancelled() throws InterruptedException {
    return cancelled.await(10, TimeUnit.SECONDS);
  }

  @Override
  public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> observer) {
    ServerCallStreamObserver<ExecuteResponse> call =
        (ServerCallStreamObserver<ExecuteResponse>) observer;
    call.setOnCancelHandler(cancelled::countDown);
    call.setOnReadyHandler(() -> {
      while (call.isReady()) {
        call.onNext(
            ExecuteResponse.newBuilder()
                .setEvent(ScriptedExecution.stdout(sent.incrementAndGet(), "y\n"))
                .build());
      }
    });
  }
}
