package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.Heartbeat;
import dev.sandkeeper.v1.Output;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.Started;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class ExecutionStreamTest {
  private static final String SANDBOX = "a".repeat(20);
  private static final String EXECUTION = "e".repeat(20);

  @Test
  void eventsComeInOrderWithoutHeartbeats() {
    Script script =
        new Script(started(1), stdout(2, "a"), heartbeat(), stdout(3, "b"), finished(4, 0));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.runPython(SANDBOX, "print(1)")) {
      assertThat(stream.executionId()).isEmpty();
      assertThat(stream)
          .toIterable()
          .extracting(ExecutionEvent::getSequence)
          .containsExactly(1L, 2L, 3L, 4L);
      assertThat(stream.executionId()).isEqualTo(EXECUTION);
      assertThat(stream.lastSequence()).isEqualTo(4);
      assertThatThrownBy(stream::next).isInstanceOf(NoSuchElementException.class);
    }
  }

  @Test
  void awaitHandsOnWhatTheProgramWritesAndHowItEnded() {
    Script script = new Script(started(1), stdout(2, "out"), stderr(3, "err"), finished(4, 7));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.runShell(SANDBOX, "exit 7")) {
      StringBuilder out = new StringBuilder();
      StringBuilder err = new StringBuilder();

      Finished finished =
          stream.await(b -> out.append(b.toStringUtf8()), b -> err.append(b.toStringUtf8()));

      assertThat(finished.getExitCode()).isEqualTo(7);
      assertThat(out).hasToString("out");
      assertThat(err).hasToString("err");
    }
  }

  @Test
  void streamThatEndsBeforeTheExecutionIsAnError() {
    Script script = new Script(started(1), stdout(2, "half"));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.runShell(SANDBOX, "true")) {
      assertThatThrownBy(() -> stream.await(b -> {}, b -> {}))
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.code()).isEqualTo(Status.Code.DATA_LOSS));
      assertThat(stream.lastSequence()).isEqualTo(2);
    }
  }

  @Test
  void attachGoesOnBehindTheSequenceGiven() {
    Script script = new Script(started(1), stdout(2, "a"), stdout(3, "b"), finished(4, 0));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.attach(EXECUTION, 2)) {
      assertThat(stream.executionId()).isEqualTo(EXECUTION);
      assertThat(stream.lastSequence()).isEqualTo(2);
      assertThat(stream.next().getSequence()).isEqualTo(3);
      assertThat(stream.next().hasFinished()).isTrue();
      assertThat(stream.hasNext()).isFalse();
    }
  }

  /** The server sends for as long as the stream is ready; both sides run on the calling thread. */
  @Test
  void slowReaderHoldsTheServerBack() {
    Endless endless = new Endless();
    try (FakeServer server = new FakeServer(endless);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.runShell(SANDBOX, "yes")) {
      assertThat(endless.sent).hasValueLessThan(5);
      for (int i = 0; i < 100; i++) {
        stream.next();
      }
      assertThat(endless.sent).hasValueBetween(100, 105);
    }
  }

  @Test
  void closingTheStreamCancelsTheCall() throws InterruptedException {
    Endless endless = new Endless();
    try (FakeServer server = new FakeServer(endless);
        SandkeeperClient client = server.client()) {
      ExecutionStream stream = client.runShell(SANDBOX, "yes");
      stream.next();
      stream.close();
      assertThat(endless.cancelled.await(10, TimeUnit.SECONDS)).isTrue();
    }
  }

  @Test
  void interruptedReaderCancelsTheCallAndStaysInterrupted() throws InterruptedException {
    Silent silent = new Silent();
    AtomicReference<SandkeeperException> thrown = new AtomicReference<>();
    CountDownLatch stillInterrupted = new CountDownLatch(1);
    try (FakeServer server = new FakeServer(silent);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.runShell(SANDBOX, "sleep 1000")) {
      Thread reader =
          new Thread(() -> {
            try {
              stream.next();
            } catch (SandkeeperException e) {
              thrown.set(e);
            }
            if (Thread.currentThread().isInterrupted()) {
              stillInterrupted.countDown();
            }
          });
      reader.start();
      reader.interrupt();
      reader.join(10_000);

      assertThat(thrown.get().code()).isEqualTo(Status.Code.CANCELLED);
      assertThat(stillInterrupted.getCount()).isZero();
      assertThat(silent.cancelled.await(10, TimeUnit.SECONDS)).isTrue();
    }
  }

  private static ExecutionEvent.Builder event(long sequence) {
    return ExecutionEvent.newBuilder().setSequence(sequence);
  }

  private static ExecutionEvent started(long sequence) {
    return event(sequence).setStarted(Started.newBuilder().setExecutionId(EXECUTION)).build();
  }

  private static ExecutionEvent stdout(long sequence, String text) {
    return event(sequence).setStdout(output(text)).build();
  }

  private static ExecutionEvent stderr(long sequence, String text) {
    return event(sequence).setStderr(output(text)).build();
  }

  private static ExecutionEvent heartbeat() {
    return event(0).setHeartbeat(Heartbeat.getDefaultInstance()).build();
  }

  private static ExecutionEvent finished(long sequence, int exitCode) {
    return event(sequence).setFinished(Finished.newBuilder().setExitCode(exitCode)).build();
  }

  private static Output output(String text) {
    return Output.newBuilder().setData(ByteString.copyFromUtf8(text)).build();
  }

  /** Plays events. */
  private static final class Script extends SandboxServiceGrpc.SandboxServiceImplBase {
    private final List<ExecutionEvent> events;

    Script(ExecutionEvent... events) {
      this.events = List.of(events);
    }

    @Override
    public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> answer) {
      events.forEach(e -> answer.onNext(ExecuteResponse.newBuilder().setEvent(e).build()));
      answer.onCompleted();
    }

    @Override
    public void attachExecution(
        AttachExecutionRequest request, StreamObserver<AttachExecutionResponse> answer) {
      events.stream()
          .filter(e -> e.getSequence() > request.getAfterSequence())
          .forEach(e -> answer.onNext(AttachExecutionResponse.newBuilder().setEvent(e).build()));
      answer.onCompleted();
    }
  }

  /** Sends as long as the stream takes it. */
  private static final class Endless extends SandboxServiceGrpc.SandboxServiceImplBase {
    private final AtomicLong sent = new AtomicLong();
    private final CountDownLatch cancelled = new CountDownLatch(1);

    @Override
    public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> answer) {
      ServerCallStreamObserver<ExecuteResponse> call =
          (ServerCallStreamObserver<ExecuteResponse>) answer;
      call.setOnCancelHandler(cancelled::countDown);
      call.setOnReadyHandler(() -> {
        while (call.isReady()) {
          ExecutionEvent event = stdout(sent.incrementAndGet(), "y\n");
          call.onNext(ExecuteResponse.newBuilder().setEvent(event).build());
        }
      });
    }
  }

  /** Never sends. */
  private static final class Silent extends SandboxServiceGrpc.SandboxServiceImplBase {
    private final CountDownLatch cancelled = new CountDownLatch(1);

    @Override
    public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> answer) {
      ((ServerCallStreamObserver<ExecuteResponse>) answer).setOnCancelHandler(cancelled::countDown);
    }
  }
}
