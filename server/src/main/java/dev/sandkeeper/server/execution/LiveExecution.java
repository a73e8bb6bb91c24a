package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.redaction.Redaction;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * An execution that runs, or whose output is still kept. Turns what the engine tells into numbered
 * events.
 *
 * <p>It may have been begun by an earlier server, and goes on in the same journal.
 */
final class LiveExecution implements ExecutionListener {
  private static final Logger logger = LoggerFactory.getLogger(LiveExecution.class);
  private static final int SIGKILL = 9;

  private final Execution execution;
  private final Sandbox sandbox;
  private final Journal journal;
  private final BillingClock clock;
  private final OutcomeRecorder outcomeRecorder;
  private final Optional<OutputHashes> hashes;
  private final RedactedOutput output;
  private final Optional<KeptArtifacts> artifacts;
  private final KeptArtifacts.Collector collector;
  private final CompletableFuture<Boolean> done = new CompletableFuture<>();
  private final CompletableFuture<Boolean> over = new CompletableFuture<>();
  private final CompletableFuture<EngineExecution> engineExecution = new CompletableFuture<>();
  private volatile boolean broken;

  LiveExecution(
      Execution execution,
      Sandbox sandbox,
      Journal journal,
      Optional<OutputHashes> hashes,
      Optional<KeptArtifacts> artifacts,
      KeptArtifacts.Collector collector,
      Supplier<Redaction> redaction,
      ScheduledExecutorService timer,
      BillingClock clock,
      OutcomeRecorder outcomeRecorder) {
    this.execution = execution;
    this.sandbox = sandbox;
    this.hashes = hashes;
    this.artifacts = artifacts;
    this.collector = collector;
    this.journal = journal;
    this.clock = clock;
    this.outcomeRecorder = outcomeRecorder;
    this.output = new RedactedOutput(redaction, timer, this::keep);
  }

  Execution execution() {
    return execution;
  }

  Sandbox sandbox() {
    return sandbox;
  }

  /** Returns when it ended, of one that had when it was found. */
  Instant endTime() {
    return execution.outcome().orElseThrow().endTime();
  }

  Journal journal() {
    return journal;
  }

  /** Completes when nothing more will come; true when the end was written down. */
  CompletableFuture<Boolean> done() {
    return done;
  }

  /** Completes behind {@link #done} and all that follows from it: its place is free. */
  CompletableFuture<Boolean> over() {
    return over;
  }

  /** Goes on with what an earlier server wrote of its output. */
  void resume() {
    output.resume(ShownTails.of(journal));
  }

  /** Adds nothing more by itself: the next server goes on with it. */
  void letGo() {
    output.close();
  }

  /**
   * Returns the counts and hashes of its output as it is kept, unless their beginning is not known.
   */
  Optional<OutputHashes> hashes() {
    return hashes;
  }

  /** Returns its artifacts, unless it has none to keep. */
  Optional<KeptArtifacts> artifacts() {
    return artifacts;
  }

  /** Collects the artifacts, unless that was done. */
  void collectArtifacts() {
    artifacts.filter(KeptArtifacts::isPending).ifPresent(kept -> kept.collect(collector));
  }

  /** Returns how many bytes of its events and artifacts are kept. */
  long keptBytes() {
    return journal.keptBytes() + artifacts.map(KeptArtifacts::bytes).orElse(0L);
  }

  /** Completes what is to follow its end, of one that was over when it was found. */
  void goOnBehindEnd() {
    done.complete(true);
    try {
      collectArtifacts();
    } finally {
      over.complete(true);
    }
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
      artifacts.ifPresent(KeptArtifacts::lose);
      done.complete(false);
      over.complete(false);
    }
  }

  /**
   * Sends a signal to its processes, at the latest when they are started; does nothing when it is
   * over.
   */
  void signal(int number) {
    var _ = engineExecution.thenAccept(handle -> handle.signal(number));
  }

  /** Returns its handle, unless the engine has yet to take it up. */
  Optional<EngineExecution> handle() {
    return Optional.ofNullable(engineExecution.getNow(null));
  }

  /** Ends its whole process tree; does nothing when it is over. Does not block. */
  void kill() {
    signal(SIGKILL);
  }

  /** Adds an event that the engine knows nothing of, unless it would come before `started`. */
  void append(ExecutionEvent event) {
    if (!done.isDone() && journal.lastSequence() > 0) {
      appendOrBreak(event);
    }
  }

  @Override
  public void started(int pid) {
    appendTold(new ExecutionEvent.Started(execution.executionId(), pid));
  }

  @Override
  public void output(OutputStreamKind kind, long offset, ByteBuffer bytes) {
    journal.awaitPrimary();
    output.write(kind, offset, bytes);
  }

  @Override
  public int behind() {
    return output.behind();
  }

  private void keep(OutputStreamKind kind, long offset, ByteBuffer shown, int told) {
    hashes.ifPresent(all -> all.of(kind).update(shown));
    if (broken) {
      return;
    }
    try {
      journal.append(clock.now(), kind, shown, offset, told);
    } catch (UncheckedIOException e) {
      breakOff(e);
    }
  }

  @Override
  public void result(Map<String, byte[]> mimeData) {
    appendTold(new ExecutionEvent.Result(output.redaction().redactValues(mimeData)));
  }

  @Override
  public void error(CodeError error) {
    Redaction redaction = output.redaction();
    appendTold(
        new ExecutionEvent.Failed(
            new CodeError(
                redaction.redact(error.name()),
                redaction.redact(error.value()),
                redaction.redact(error.traceback()))));
  }

  @Override
  public void finished(ExecutionEnd end, Runnable kept) {
    boolean recorded = false;
    try {
      output.letGo();
      Optional<Execution.Outcome> outcome =
          outcomeRecorder.record(this, broken ? ExecutionEnd.of(ExecutionEnd.Reason.LOST) : end);
      recorded = outcome.isPresent();
      if (outcome.isPresent()) {
        // Before anybody knows of the end and changes the files: the next cell begins when this
        // one's
        // end is acknowledged.
        collectArtifacts();
        kept.run();
        appendFinished(outcome.get());
      }
    } finally {
      if (!recorded) {
        artifacts.ifPresent(KeptArtifacts::lose);
      }
      done.complete(recorded);
      over.complete(recorded);
      // Of what ends while the server stops, the next one hears the end, and has the events.
      if (broken || (!recorded && !outcomeRecorder.isClosed())) {
        journal.delete(); // readers end without a `finished`, which tells them it is not known
      }
    }
  }

  /** Adds the last event, unless it is there: a server may be killed before it comes to that. */
  void appendFinished(Execution.Outcome outcome) {
    appendOrBreak(ExecutionEvent.Finished.of(execution.startTime(), outcome));
  }

  /** Adds an event that the engine told of, behind all output that it told of before. */
  private void appendTold(ExecutionEvent event) {
    output.letGo();
    appendOrBreak(event, output.takeUnwritten() + 1);
  }

  private void appendOrBreak(ExecutionEvent event) {
    appendOrBreak(event, 0);
  }

  private void appendOrBreak(ExecutionEvent event, int toldMore) {
    if (broken) {
      return;
    }
    try {
      journal.append(clock.now(), event, toldMore);
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
    kill();
  }
}
