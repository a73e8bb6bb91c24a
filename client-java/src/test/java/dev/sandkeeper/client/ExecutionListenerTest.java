package dev.sandkeeper.client;

import static dev.sandkeeper.client.ScriptedExecution.EXECUTION;
import static dev.sandkeeper.client.ScriptedExecution.breaksAfter;
import static dev.sandkeeper.client.ScriptedExecution.endsAfter;
import static dev.sandkeeper.client.ScriptedExecution.event;
import static dev.sandkeeper.client.ScriptedExecution.failsAfter;
import static dev.sandkeeper.client.ScriptedExecution.finished;
import static dev.sandkeeper.client.ScriptedExecution.started;
import static dev.sandkeeper.client.ScriptedExecution.stderr;
import static dev.sandkeeper.client.ScriptedExecution.stdout;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.BudgetWarning;
import dev.sandkeeper.v1.CodeError;
import dev.sandkeeper.v1.Result;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class ExecutionListenerTest {
  private static final String SANDBOX = "a".repeat(20);
  private static final List<dev.sandkeeper.v1.ExecutionEvent> EVENTS =
      List.of(started(1), stdout(2, "a"), stderr(3, "b"), stdout(4, "c"), finished(5, 7));

  private final TestTiming timing = new TestTiming();

  @Test
  void eachKindOfEventHasItsMethod() {
    List<dev.sandkeeper.v1.ExecutionEvent> all =
        List.of(
            started(1),
            stdout(2, "a"),
            stderr(3, "b"),
            event(4).setResult(Result.newBuilder().putData("x", ByteString.EMPTY)).build(),
            event(5).setError(CodeError.getDefaultInstance()).build(),
            event(6).setBudgetWarning(BudgetWarning.getDefaultInstance()).build(),
            finished(7, 0));
    Recorder recorder = new Recorder();
    try (FakeServer server = new FakeServer(new ScriptedExecution(all));
        SandkeeperClient client = server.client()) {
      var end = client.sandbox(SANDBOX).shell("true").start(recorder).join();

      assertThat(end.sequence()).isEqualTo(7);
      assertThat(recorder.told)
          .containsExactly(
              "started 1",
              "stdout 2",
              "stderr 3",
              "result 4",
              "error 5",
              "warning 6",
              "finished 7");
    }
  }

  @Test
  void attachesAgainByItself() {
    ScriptedExecution script =
        new ScriptedExecution(
            EVENTS,
            breaksAfter(0, Status.UNAVAILABLE),
            breaksAfter(2, Status.UNAVAILABLE),
            breaksAfter(1, Status.INTERNAL));
    Recorder recorder = new Recorder();
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client(b -> b.timing(timing.timing()))) {
      assertThat(client.sandbox(SANDBOX).shell("true").start(recorder).join().exitCode())
          .hasValue(7);
    }

    assertThat(recorder.told)
        .containsExactly("started 1", "stdout 2", "stderr 3", "stdout 4", "finished 5");
    assertThat(script.executes()).hasSize(2);
    assertThat(script.attaches()).hasSize(2);
  }

  @Test
  void attachTellsTheRest() {
    Recorder recorder = new Recorder();
    try (FakeServer server = new FakeServer(new ScriptedExecution(EVENTS));
        SandkeeperClient client = server.client()) {
      client.attach(EXECUTION, 3, recorder).join();
    }

    assertThat(recorder.told).containsExactly("stdout 4", "finished 5");
  }

  @Test
  void refusalFailsTheFuture() {
    ScriptedExecution script =
        new ScriptedExecution(
            EVENTS,
            failsAfter(0, Refusals.of(Status.Code.FAILED_PRECONDITION, "SANDBOX_NOT_RUNNING")));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client()) {
      var end = client.sandbox(SANDBOX).shell("true").start(new Recorder());

      assertThatThrownBy(end::join)
          .isInstanceOf(CompletionException.class)
          .cause()
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.reason()).isEqualTo("SANDBOX_NOT_RUNNING"));
    }
  }

  @Test
  void streamThatEndsBeforeTheExecutionFailsTheFuture() {
    try (FakeServer server = new FakeServer(new ScriptedExecution(EVENTS, endsAfter(2)));
        SandkeeperClient client = server.client()) {
      var end = client.sandbox(SANDBOX).shell("true").start(new Recorder());

      assertThatThrownBy(end::join).hasMessageContaining("ended before the execution did");
    }
  }

  @Test
  void whatTheListenerThrowsEndsTheStreamAndFailsTheFuture() throws InterruptedException {
    EndlessExecution endless = new EndlessExecution();
    try (FakeServer server = new FakeServer(endless);
        SandkeeperClient client = server.client()) {
      var end =
          client
              .sandbox(SANDBOX)
              .shell("yes")
              .start(
                  new ExecutionListener() {
                    @Override
                    public void onStdout(ExecutionEvent.Stdout stdout) {
                      throw new IllegalStateException("no more");
                    }
                  });

      assertThatThrownBy(end::join).hasRootCauseMessage("no more");
      assertThat(endless.awaitCancelled()).isTrue();
    }
  }

  @Test
  void cancellingTheFutureEndsTheStream() throws InterruptedException {
    EndlessExecution endless = new EndlessExecution();
    CountDownLatch begun = new CountDownLatch(1);
    try (FakeServer server = new FakeServer(endless);
        SandkeeperClient client = server.client()) {
      CompletableFuture<ExecutionEvent.Finished> end =
          client
              .sandbox(SANDBOX)
              .shell("yes")
              .start(
                  new ExecutionListener() {
                    @Override
                    public void onStdout(ExecutionEvent.Stdout stdout) {
                      begun.countDown();
                    }
                  });
      assertThat(begun.await(10, TimeUnit.SECONDS)).isTrue();

      assertThat(end.cancel(true)).isTrue();
      assertThat(endless.awaitCancelled()).isTrue();
    }
  }

  @Test
  void slowListenerHoldsTheServerBack() throws InterruptedException {
    EndlessExecution endless = new EndlessExecution();
    CountDownLatch enough = new CountDownLatch(1);
    AtomicLong furthest = new AtomicLong();
    try (FakeServer server = new FakeServer(endless);
        SandkeeperClient client = server.client()) {
      var end =
          client
              .sandbox(SANDBOX)
              .shell("yes")
              .start(
                  new ExecutionListener() {
                    @Override
                    public void onStdout(ExecutionEvent.Stdout stdout) {
                      long ahead = endless.sent() - stdout.sequence();
                      furthest.accumulateAndGet(ahead, Math::max);
                      if (stdout.sequence() == 1000) {
                        enough.countDown();
                      }
                    }
                  });
      assertThat(enough.await(10, TimeUnit.SECONDS)).isTrue();
      end.cancel(true);
    }

    assertThat(furthest).hasValueBetween(1, 16);
  }

  @Test
  void callbacksRunOnTheExecutorGiven() {
    List<String> threads = new ArrayList<>();
    try (FakeServer server = new FakeServer(new ScriptedExecution(EVENTS));
        SandkeeperClient client =
            server.client(b -> b.executor(task -> new Thread(task, "of-mine").start()))) {
      client
          .sandbox(SANDBOX)
          .shell("true")
          .start(
              new ExecutionListener() {
                @Override
                public void onStdout(ExecutionEvent.Stdout stdout) {
                  threads.add(Thread.currentThread().getName());
                }
              })
          .join();
    }

    assertThat(threads).containsExactly("of-mine", "of-mine");
  }

  /** Writes down what it is told. */
  private static final class Recorder implements ExecutionListener {
    private final List<String> told = new ArrayList<>();

    @Override
    public void onStarted(ExecutionEvent.Started started) {
      told.add("started " + started.sequence());
    }

    @Override
    public void onStdout(ExecutionEvent.Stdout stdout) {
      told.add("stdout " + stdout.sequence());
    }

    @Override
    public void onStderr(ExecutionEvent.Stderr stderr) {
      told.add("stderr " + stderr.sequence());
    }

    @Override
    public void onResult(ExecutionEvent.Result result) {
      told.add("result " + result.sequence());
    }

    @Override
    public void onCodeError(ExecutionEvent.CodeError error) {
      told.add("error " + error.sequence());
    }

    @Override
    public void onBudgetWarning(ExecutionEvent.BudgetWarning warning) {
      told.add("warning " + warning.sequence());
    }

    @Override
    public void onFinished(ExecutionEvent.Finished finished) {
      told.add("finished " + finished.sequence());
    }
  }
}
