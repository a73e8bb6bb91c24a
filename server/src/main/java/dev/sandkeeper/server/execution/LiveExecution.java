package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.sandbox.LiveSandbox;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An execution that runs, or whose output is still kept. Turns what the engine tells into numbered
 * events.
 */
final class LiveExecution implements ExecutionListener {
  private static final Logger logger = LoggerFactory.getLogger(LiveExecution.class);
  private static final int SIGKILL = 9;

  private final Execution execution;
  private final Principal principal;
  private final LiveSandbox sandbox;
  private final Journal journal;
  private final BillingClock clock;
  private final OutcomeRecorder outcomeRecorder;
  private final OutputHash stdout = new OutputHash();
  private final OutputHash stderr = new OutputHash();
  private final CompletableFuture<Boolean> done = new CompletableFuture<>();
  private final CompletableFuture<EngineExecution> engineExecution = new CompletableFuture<>();
  private volatile boolean broken;

  LiveExecution(
      Execution execution,
      Principal principal,
      LiveSandbox sandbox,
      Journal journal,
      BillingClock clock,
      OutcomeRecorder outcomeRecorder) {
    this.execution = execution;
    this.principal = principal;
    this.sandbox = sandbox;
    this.journal = journal;
    this.clock = clock;
    this.outcomeRecorder = outcomeRecorder;
  }

  Execution execution() {
    return execution;
  }

  Principal principal() {
    return principal;
  }

  LiveSandbox sandbox() {
    return sandbox;
  }

  Journal journal() {
    return journal;
  }

  /** Completes when nothing more will come; true when the end was written down. */
  CompletableFuture<Boolean> done() {
    return done;
  }

  /** Returns the count and hash of standard output; once, at the end. */
  Execution.OutputDigest stdoutDigest() {
    return stdout.finish();
  }

  /** Returns the count and hash of standard error; once, at the end. */
  Execution.OutputDigest stderrDigest() {
    return stderr.finish();
  }

  /** Sets the handle by which it is signalled. */
  void startedAs(EngineExecution handle) {
    engineExecution.complete(handle);
  }

  /** Takes it back before anything was started; nothing of it is left. */
  void abandon() {
    try {
      journal.delete();
    } finally {
      done.complete(false);
    }
  }

  /**
   * Sends a signal to its processes, at the latest when they are started; does nothing when it is
   * over.
   */
  void signal(int number) {
    var _ = engineExecution.thenAccept(handle -> handle.signal(number));
  }

  /** Adds an event that the engine knows nothing of, unless it would come before `started`. */
  void append(ExecutionEvent event) {
    if (!done.isDone() && journal.lastSequence() > 0) {
      appendOrBreak(event);
    }
  }

  @Override
  public void started(int pid) {
    appendOrBreak(new ExecutionEvent.Started(execution.executionId(), pid));
  }

  @Override
  public void output(OutputStreamKind kind, ByteBuffer bytes) {
    OutputHash hash = kind == OutputStreamKind.STDOUT ? stdout : stderr;
    long offset = hash.bytes();
    hash.update(bytes);
    if (broken) {
      return;
    }
    try {
      journal.append(clock.now(), kind, bytes, offset);
    } catch (UncheckedIOException e) {
      breakOff(e);
    }
  }

  @Override
  public void result(Map<String, byte[]> mimeData) {
    appendOrBreak(new ExecutionEvent.Result(mimeData));
  }

  @Override
  public void error(CodeError error) {
    appendOrBreak(new ExecutionEvent.Failed(error));
  }

  @Override
  public void finished(ExecutionEnd end) {
    boolean recorded = false;
    try {
      Optional<Execution.Outcome> outcome =
          outcomeRecorder.record(this, broken ? ExecutionEnd.of(ExecutionEnd.Reason.LOST) : end);
      recorded = outcome.isPresent();
      outcome.ifPresent(known ->
          appendOrBreak(
              new ExecutionEvent.Finished(
                  known.end(),
                  Duration.between(execution.startTime(), known.endTime()),
                  known.cost())));
    } finally {
      done.complete(recorded);
      if (broken || !recorded) {
        journal.delete(); // readers end without a `finished`, which tells them it is not known
      }
    }
  }

  private void appendOrBreak(ExecutionEvent event) {
    if (broken) {
      return;
    }
    try {
      journal.append(clock.now(), event);
    } catch (UncheckedIOException e) {
      breakOff(e);
    }
  }

  /** What cannot be kept must not go on: output would be lost unseen. */
  private void breakOff(UncheckedIOException cause) {
    broken = true;
    logger
        .atError()
        .addKeyValue(LogKeys.EXECUTION, execution.executionId())
        .setCause(cause)
        .log("The journal cannot be written; the execution is ended");
    signal(SIGKILL);
  }
}
