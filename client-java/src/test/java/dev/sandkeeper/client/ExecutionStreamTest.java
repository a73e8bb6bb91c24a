package dev.sandkeeper.client;

import static dev.sandkeeper.client.ScriptedExecution.EXECUTION;
import static dev.sandkeeper.client.ScriptedExecution.endsAfter;
import static dev.sandkeeper.client.ScriptedExecution.event;
import static dev.sandkeeper.client.ScriptedExecution.finished;
import static dev.sandkeeper.client.ScriptedExecution.heartbeat;
import static dev.sandkeeper.client.ScriptedExecution.started;
import static dev.sandkeeper.client.ScriptedExecution.stderr;
import static dev.sandkeeper.client.ScriptedExecution.stdout;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import com.google.protobuf.Timestamp;
import dev.sandkeeper.v1.BudgetWarning;
import dev.sandkeeper.v1.CodeError;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.Output;
import dev.sandkeeper.v1.Result;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

class ExecutionStreamTest {
  private static final String SANDBOX = "a".repeat(20);

  @Test
  void eventsComeInOrderWithoutHeartbeats() {
    ScriptedExecution script =
        new ScriptedExecution(
            List.of(started(1), stdout(2, "a"), heartbeat(), stdout(3, "b"), finished(4, 0)));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.sandbox(SANDBOX).python("print(1)").stream()) {
      assertThat(stream.executionId()).isEmpty();
      assertThat(stream).extracting(ExecutionEvent::sequence).containsExactly(1L, 2L, 3L, 4L);
      assertThat(stream.executionId()).isEqualTo(EXECUTION);
      assertThat(stream.lastSequence()).isEqualTo(4);
      assertThat(stream.reattachments()).isZero();
      assertThatThrownBy(stream.iterator()::next).isInstanceOf(NoSuchElementException.class);
    }
  }

  @Test
  void eventsCarryAllThatTheContractHas() {
    Instant time = Instant.parse("2026-11-20T21:00:07.051703Z");
    Timestamp at = Times.toProto(time);
    ByteString bytes = ByteString.copyFromUtf8("42");
    ScriptedExecution script =
        new ScriptedExecution(
            List.of(
                started(1),
                event(2)
                    .setTime(at)
                    .setStdout(Output.newBuilder().setData(bytes).setOffset(7))
                    .build(),
                event(3).setResult(Result.newBuilder().putData("text/plain", bytes)).build(),
                event(4)
                    .setError(CodeError.newBuilder().setName("E").setValue("v").setTraceback("t"))
                    .build(),
                event(5)
                    .setBudgetWarning(
                        BudgetWarning.newBuilder()
                            .setLimitId("2")
                            .setRemainingNanoUsd(9)
                            .setPaidUntilTime(at))
                    .build(),
                event(6)
                    .setFinished(
                        Finished.newBuilder()
                            .setReason(FinishReason.FINISH_REASON_SIGNALED)
                            .setSignal(9)
                            .setDuration(Times.toProto(Duration.ofMillis(1250)))
                            .setPeakMemoryBytes(5)
                            .setCostNanoUsd(11))
                    .build()));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.sandbox(SANDBOX).python("42").stream()) {
      Instant zero = Instant.EPOCH;
      assertThat(stream)
          .containsExactly(
              new ExecutionEvent.Started(1, zero, EXECUTION, 0),
              new ExecutionEvent.Stdout(2, time, bytes, 7),
              new ExecutionEvent.Result(3, zero, Map.of("text/plain", bytes)),
              new ExecutionEvent.CodeError(4, zero, "E", "v", "t"),
              new ExecutionEvent.BudgetWarning(5, zero, "2", 9, time),
              new ExecutionEvent.Finished(
                  6,
                  zero,
                  FinishReason.FINISH_REASON_SIGNALED,
                  OptionalInt.empty(),
                  OptionalInt.of(9),
                  Duration.ofMillis(1250),
                  OptionalLong.empty(),
                  OptionalLong.of(5),
                  11));
    }
  }

  @Test
  void awaitHandsOnWhatTheProgramWritesAndHowItEnded() {
    ScriptedExecution script =
        new ScriptedExecution(
            List.of(started(1), stdout(2, "out"), stderr(3, "err"), finished(4, 7)));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.sandbox(SANDBOX).shell("exit 7").stream()) {
      StringBuilder out = new StringBuilder();
      StringBuilder err = new StringBuilder();

      ExecutionEvent.Finished finished =
          stream.await(b -> out.append(b.toStringUtf8()), b -> err.append(b.toStringUtf8()));

      assertThat(finished.exitCode()).hasValue(7);
      assertThat(finished.succeeded()).isFalse();
      assertThat(out).hasToString("out");
      assertThat(err).hasToString("err");
    }
  }

  @Test
  void streamThatEndsBeforeTheExecutionIsAnErrorForWhoAwaitsItsEnd() {
    ScriptedExecution script =
        new ScriptedExecution(List.of(started(1), stdout(2, "half"), finished(3, 0)), endsAfter(2));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream()) {
      assertThatThrownBy(stream::await)
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.code()).isEqualTo(Status.Code.DATA_LOSS));
      assertThat(stream.lastSequence()).isEqualTo(2);
    }
  }

  @Test
  void attachGoesOnBehindTheSequenceGiven() {
    ScriptedExecution script =
        new ScriptedExecution(List.of(started(1), stdout(2, "a"), stdout(3, "b"), finished(4, 0)));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.attach(EXECUTION, 2)) {
      assertThat(stream.executionId()).isEqualTo(EXECUTION);
      assertThat(stream.lastSequence()).isEqualTo(2);
      assertThat(stream).extracting(ExecutionEvent::sequence).containsExactly(3L, 4L);
    }
  }

  @Test
  void attachBehindTheLastEventEndsAtOnce() {
    ScriptedExecution script = new ScriptedExecution(List.of(started(1), finished(2, 0)));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.attach(EXECUTION, 2)) {
      assertThat(stream).isEmpty();
    }
  }

  /** The server sends for as long as the stream is ready. */
  @Test
  void slowReaderHoldsTheServerBack() {
    EndlessExecution endless = new EndlessExecution();
    try (FakeServer server = new FakeServer(endless);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.sandbox(SANDBOX).shell("yes").stream()) {
      var events = stream.iterator();
      events.next();
      for (int i = 1; i < 100; i++) {
        events.next();
        assertThat(endless.sent()).isBetween((long) i, i + 16L);
      }
    }
  }

  @Test
  void closingTheStreamCancelsTheCall() throws InterruptedException {
    EndlessExecution endless = new EndlessExecution();
    try (FakeServer server = new FakeServer(endless);
        SandkeeperClient client = server.client()) {
      ExecutionStream stream = client.sandbox(SANDBOX).shell("yes").stream();
      stream.iterator().next();
      stream.close();
      assertThat(endless.awaitCancelled()).isTrue();
    }
  }

  @Test
  void closingBehindTheLastEventResetsNothing() {
    AtomicReference<ServerCallStreamObserver<ExecuteResponse>> call = new AtomicReference<>();
    AtomicBoolean reset = new AtomicBoolean();
    SandboxServiceGrpc.SandboxServiceImplBase late =
        new SandboxServiceGrpc.SandboxServiceImplBase() {
          @Override
          public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> observer) {
            call.set((ServerCallStreamObserver<ExecuteResponse>) observer);
            call.get().setOnCancelHandler(() -> reset.set(true));
            observer.onNext(ExecuteResponse.newBuilder().setEvent(started(1)).build());
            observer.onNext(ExecuteResponse.newBuilder().setEvent(finished(2, 0)).build());
          }
        };
    try (FakeServer server = new FakeServer(late);
        SandkeeperClient client = server.client()) {
      try (ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream()) {
        stream.await();
      }
      call.get().onCompleted();
      assertThat(reset).isFalse();
    }
  }

  @Test
  void anotherThreadMayCloseAStreamThatIsRead() throws InterruptedException {
    ScriptedExecution script =
        new ScriptedExecution(List.of(started(1)), ScriptedExecution.hangsAfter(1));
    AtomicReference<SandkeeperException> thrown = new AtomicReference<>();
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client()) {
      ExecutionStream stream = client.sandbox(SANDBOX).shell("sleep 1000").stream();
      Thread reader = reading(stream, thrown);
      awaitBlocked(reader);
      stream.close();
      reader.join(10_000);

      assertThat(thrown.get().code()).isEqualTo(Status.Code.CANCELLED);
      assertThat(stream.lastSequence()).isEqualTo(1);
    }
  }

  @Test
  void interruptedReaderCancelsTheCallAndStaysInterrupted() throws InterruptedException {
    Silent silent = new Silent();
    AtomicReference<SandkeeperException> thrown = new AtomicReference<>();
    CountDownLatch stillInterrupted = new CountDownLatch(1);
    try (FakeServer server = new FakeServer(silent);
        SandkeeperClient client = server.client();
        ExecutionStream stream = client.sandbox(SANDBOX).shell("sleep 1000").stream()) {
      Thread reader =
          new Thread(() -> {
            try {
              stream.await();
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

  @Test
  void streamTimeoutEndsTheStream() {
    try (FakeServer server = new FakeServer(new Silent());
        SandkeeperClient client = server.client(b -> b.streamTimeout(Duration.ofMillis(50)));
        ExecutionStream stream = client.sandbox(SANDBOX).shell("sleep 1000").stream()) {
      assertThatThrownBy(stream::await)
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.code()).isEqualTo(Status.Code.DEADLINE_EXCEEDED));
    }
  }

  @Test
  void runCollectsWhatComes() {
    ScriptedExecution script =
        new ScriptedExecution(
            List.of(
                started(1),
                stdout(2, "a"),
                stderr(3, "e"),
                stdout(4, "b"),
                event(5)
                    .setResult(
                        Result.newBuilder().putData("text/plain", ByteString.copyFromUtf8("42")))
                    .build(),
                finished(6, 0)));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client()) {
      ExecutionResult result = client.sandbox(SANDBOX).python("42").run();

      assertThat(result.stdoutText()).isEqualTo("ab");
      assertThat(result.stderrText()).isEqualTo("e");
      assertThat(result.truncated()).isFalse();
      assertThat(result.results())
          .singleElement()
          .satisfies(value -> assertThat(value.text()).contains("42"));
      assertThat(result.error()).isEmpty();
      assertThat(result.succeeded()).isTrue();
    }
  }

  @Test
  void runKeepsNoMoreThanItsBoundOfEachOutput() {
    ScriptedExecution script =
        new ScriptedExecution(
            List.of(
                started(1),
                stdout(2, "abc"),
                stdout(3, "def"),
                stderr(4, "1234"),
                stdout(5, "g"),
                finished(6, 0)));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client()) {
      ExecutionBuilder run = client.sandbox(SANDBOX).shell("true").maxOutputBytes(4);
      ExecutionResult result = run.run();

      assertThat(result.stdoutText()).isEqualTo("abcd");
      assertThat(result.stderrText()).isEqualTo("1234");
      assertThat(result.truncated()).isTrue();
      assertThat(run.maxOutputBytes(7).run().truncated()).isFalse();
    }
  }

  @Test
  void everyRunHasItsOwnRequestId() {
    ScriptedExecution script = new ScriptedExecution(List.of(started(1), finished(2, 0)));
    List<String> ids = new ArrayList<>();
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client()) {
      ExecutionBuilder run = client.sandbox(SANDBOX).command("printf", "%s", "a b");
      run.run();
      run.run();
      script.executes().forEach(request -> ids.add(request.getRequestId()));
    }

    assertThat(ids).hasSize(2).doesNotHaveDuplicates().doesNotContain("");
    assertThat(script.executes().get(0).getCommand().getArgvList())
        .containsExactly("printf", "%s", "a b");
  }

  private static Thread reading(ExecutionStream stream, AtomicReference<SandkeeperException> end) {
    Thread reader =
        new Thread(() -> {
          try {
            stream.await();
          } catch (SandkeeperException e) {
            end.set(e);
          }
        });
    reader.start();
    return reader;
  }

  private static void awaitBlocked(Thread thread) {
    while (thread.getState() == Thread.State.RUNNABLE || thread.getState() == Thread.State.NEW) {
      Thread.onSpinWait();
    }
  }

  /** Never sends. */
  private static final class Silent extends SandboxServiceGrpc.SandboxServiceImplBase {
    private final CountDownLatch cancelled = new CountDownLatch(1);

    @Override
    public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> observer) {
      ((ServerCallStreamObserver<ExecuteResponse>) observer)
          .setOnCancelHandler(cancelled::countDown);
    }
  }
}
