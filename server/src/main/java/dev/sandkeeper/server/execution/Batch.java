package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.time.Duration;
import java.util.Iterator;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletionService;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Predicate;

/**
 * Works through a list of executions, so many at once, for one caller who waits for what comes of
 * them. Closing it ends those that run.
 *
 * <p>Each item is worked on by a thread of its own, which nobody interrupts: it may be talking to
 * the database. What ends it early is the end of its execution.
 */
final class Batch implements AutoCloseable {
  /** No execution is silent for longer than it may run; this only bounds one wait. */
  private static final Duration WAIT = Duration.ofMinutes(1);

  /** Between two tries to start something where as many run as may. */
  private static final Duration PLACE_DELAY = Duration.ofSeconds(1);

  private static final ExecutionEvent.Finished LOST =
      new ExecutionEvent.Finished(
          ExecutionEnd.of(ExecutionEnd.Reason.LOST), Duration.ZERO, NanoUsd.ZERO);

  private final Executions executions;
  private final Principal principal;
  private final int maxConcurrency;
  private final Executor executor;
  private final CountDownLatch closed = new CountDownLatch(1);
  private final Set<Run> running = ConcurrentHashMap.newKeySet();

  /**
   * Makes a batch.
   *
   * @param executor starts a thread for each item
   */
  Batch(Executions executions, Principal principal, int maxConcurrency, Executor executor) {
    this.executions = executions;
    this.principal = principal;
    this.maxConcurrency = maxConcurrency;
    this.executor = executor;
  }

  /**
   * Works through the items in their order, and hands on what comes of each as soon as it is there.
   * No more than may run at once are begun and not handed on.
   *
   * @param work what is done with an item; on a thread of its own
   * @param results takes what came of it, on the calling thread; says whether to begin any more
   * @throws InterruptedException when the calling thread is interrupted; then nothing more begins
   */
  <T, R> void forEach(Iterator<T> items, Function<T, R> work, Predicate<R> results)
      throws InterruptedException {
    CompletionService<R> working = new ExecutorCompletionService<>(executor);
    boolean goOn = true;
    int begun = 0;
    while (true) {
      while (goOn && begun < maxConcurrency && items.hasNext()) {
        T item = items.next();
        var _ = working.submit(() -> work.apply(item));
        begun++;
      }
      if (begun == 0) {
        return;
      }
      goOn = results.test(take(working)) && goOn;
      begun--;
    }
  }

  private static <R> R take(CompletionService<R> working) throws InterruptedException {
    try {
      return working.take().get();
    } catch (ExecutionException e) {
      throw e.getCause() instanceof RuntimeException cause ? cause : new IllegalStateException(e);
    }
  }

  /** Runs something to its end; waits for room before, when others take it. */
  ExecutionResult execute(ExecutionRequest request) {
    Run run;
    try {
      run = start(request);
    } catch (SandkeeperException e) {
      return new ExecutionResult.Refused(e);
    }
    running.add(run);
    try (JournalReader events = run.events()) {
      if (closed.getCount() == 0) {
        run.kill();
      }
      return follow(run, events);
    } finally {
      running.remove(run);
    }
  }

  private Run start(ExecutionRequest request) {
    while (true) {
      try {
        return executions.run(principal, request);
      } catch (SandkeeperException e) {
        if (e.reason() != ErrorReason.TOO_MANY_REQUESTS || isClosedWithin(PLACE_DELAY)) {
          throw e;
        }
      }
    }
  }

  private boolean isClosedWithin(Duration delay) {
    try {
      return closed.await(delay.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt(); // the server stops
      return true;
    }
  }

  private ExecutionResult follow(Run run, JournalReader events) {
    OutputCapture stdout = new OutputCapture();
    OutputCapture stderr = new OutputCapture();
    Optional<CodeError> error = Optional.empty();
    Optional<ExecutionEvent.Finished> finished = Optional.empty();
    try {
      while (finished.isEmpty() && !events.ended()) {
        Optional<NumberedEvent> event = events.next(WAIT);
        if (event.isEmpty()) {
          continue;
        }
        switch (event.get().event()) {
          case ExecutionEvent.Output output -> {
            OutputCapture capture = output.kind() == OutputStreamKind.STDOUT ? stdout : stderr;
            capture.add(output.data());
          }
          case ExecutionEvent.Failed failed -> error = Optional.of(failed.error());
          case ExecutionEvent.Finished end -> finished = Optional.of(end);
          case ExecutionEvent.Started _,
              ExecutionEvent.Result _,
              ExecutionEvent.BudgetWarning _ -> {}
        }
      }
      run.over().get();
    } catch (ExecutionException e) {
      throw new IllegalStateException(e); // nobody completes it so
    } catch (SandkeeperException e) {
      if (e.reason() != ErrorReason.SEQUENCE_NOT_KEPT) {
        throw e;
      }
      // Its events are gone, but maybe not how it ended.
      finished = outcome(run);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt(); // the server stops
    }
    return new ExecutionResult.Ran(
        run.executionId(), finished.orElse(LOST), stdout.captured(), stderr.captured(), error);
  }

  private Optional<ExecutionEvent.Finished> outcome(Run run) {
    Execution execution = executions.require(principal, run.executionId());
    return execution
        .outcome()
        .map(outcome -> ExecutionEvent.Finished.of(execution.startTime(), outcome));
  }

  /** Ends what runs and begins nothing more; returns at once. */
  @Override
  public void close() {
    closed.countDown();
    running.forEach(Run::kill);
  }
}
