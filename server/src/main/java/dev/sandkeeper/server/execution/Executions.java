package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.RunningExecution;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.redaction.Redaction;
import dev.sandkeeper.server.sandbox.LiveSandbox;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.sandbox.SandboxListener;
import dev.sandkeeper.server.sandbox.Sandboxes;
import dev.sandkeeper.server.secret.SecretValue;
import dev.sandkeeper.server.secret.Secrets;
import dev.sandkeeper.server.telemetry.LogKeys;
import dev.sandkeeper.server.telemetry.Spans;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Starts executions and hands out their events.
 *
 * <p>An execution outlives the stream that started it, and the server: the next one goes on with
 * what its sandboxes still run. What they do not is written down as LOST.
 */
public final class Executions implements SandboxListener, AutoCloseable {
  private static final Logger logger = LoggerFactory.getLogger(Executions.class);

  private final Transactions transactions;
  private final ExecutionRepository repository;
  private final Sandboxes sandboxes;
  private final SandboxFiles files;
  private final BillingClock clock;
  private final IdGenerator ids;
  private final ExecutionLimits limits;
  private final KeptExecutions kept;
  private final OutcomeRecorder outcomeRecorder;
  private final Spans spans;
  private final Secrets secrets;
  private final SandboxRedactions redactions;
  private final ScheduledExecutorService timer;

  /**
   * Makes the executions.
   *
   * @param secrets what they can be given
   * @param redaction what is not shown of any output
   * @param timer runs what must not wait for more output; may be blocked a little
   */
  public Executions(
      Transactions transactions,
      ExecutionRepository repository,
      Sandboxes sandboxes,
      SandboxFiles files,
      BillingClock clock,
      IdGenerator ids,
      ExecutionLimits limits,
      KeptExecutions kept,
      OutcomeRecorder outcomeRecorder,
      Spans spans,
      Secrets secrets,
      Redaction redaction,
      ScheduledExecutorService timer) {
    this.transactions = transactions;
    this.repository = repository;
    this.sandboxes = sandboxes;
    this.files = files;
    this.clock = clock;
    this.ids = ids;
    this.limits = limits;
    this.kept = kept;
    this.outcomeRecorder = outcomeRecorder;
    this.spans = spans;
    this.secrets = secrets;
    this.redactions = new SandboxRedactions(redaction);
    this.timer = timer;
  }

  /**
   * Runs something and returns its events from the first on. Of a repeated request it returns the
   * events of the execution that there is.
   *
   * @throws SandkeeperException when the sandbox is not there, does not run or has its paid time
   *     behind it, when it runs too many executions or lacks the interpreter, and when the request
   *     names someone whom the sandbox does not
   */
  public JournalReader execute(Principal principal, ExecutionRequest request) {
    return run(principal, request).events();
  }

  /** Runs something as {@link #execute} does, and returns what its end can be awaited by too. */
  Run run(Principal principal, ExecutionRequest request) {
    Optional<LiveSandbox> live =
        sandboxes.live(request.sandboxId()).filter(found -> found.sandbox().visibleTo(principal));
    Sandbox sandbox =
        live.map(LiveSandbox::sandbox)
            .orElseGet(() -> sandboxes.require(principal, request.sandboxId()));
    requireSameAttribution(sandbox.attribution(), request.attribution());
    language(request.run())
        .ifPresent(language -> live.ifPresent(found -> requireInterpreter(found, language)));
    Execution execution =
        new Execution(
            ids.executionId(),
            sandbox.sandboxId(),
            sandbox.tenantId(),
            language(request.run()),
            clock.now(),
            codeHash(request.run()),
            Optional.empty());
    Map<String, SecretValue> given;
    try {
      sandbox.requireAllowed(request.judged());
      live.flatMap(found -> Contexts.refusal(found, request.run()))
          .ifPresent(refusal -> {
            throw refusal;
          });
      given = secrets.resolve(sandbox.tenantId(), request.secrets());
    } catch (SandkeeperException e) {
      return executeRefused(principal, sandbox, execution, request, e);
    }
    return live.isPresent()
        ? executeLive(principal, live.get(), execution, request, given)
        : executeEnded(principal, sandbox, execution, request);
  }

  /**
   * Returns the events of an execution behind the given one.
   *
   * @param afterSequence the last event already had; 0 for none
   * @throws SandkeeperException when there is no such execution that the caller may see, or its
   *     events are no longer kept
   */
  public JournalReader attach(Principal principal, ExecutionId executionId, long afterSequence) {
    return follow(principal, executionId, afterSequence).events();
  }

  /**
   * Hands the artifacts of an execution on, once it is over.
   *
   * @return how many files they are
   * @throws SandkeeperException when there is no such execution that the caller may see, it was to
   *     keep none, they are no longer kept, or could not be collected
   */
  public int readArtifacts(
      Principal principal, ExecutionId executionId, EngineFiles.ChunkConsumer chunk)
      throws InterruptedException {
    Optional<LiveExecution> live =
        kept.find(executionId).filter(found -> found.sandbox().visibleTo(principal));
    if (live.isEmpty()) {
      Sandbox sandbox = sandboxes.require(principal, require(principal, executionId).sandboxId());
      throw sandboxes.isElsewhere(sandbox) ? sandboxes.elsewhere(sandbox) : KeptArtifacts.notKept();
    }
    KeptArtifacts artifacts =
        live.get()
            .artifacts()
            .orElseThrow(() ->
                SandkeeperException.of(
                        ErrorReason.ARTIFACTS_NOT_SELECTED,
                        "The execution was started without artifacts to keep.")
                    .with("executionId", executionId));
    files.noteCollected(principal, live.get().sandbox(), artifacts.selection());
    return artifacts.read(chunk);
  }

  private Run follow(Principal principal, ExecutionId executionId, long afterSequence) {
    Optional<LiveExecution> live = kept.find(executionId);
    if (live.isPresent() && live.get().sandbox().visibleTo(principal)) {
      return new Run(live.get(), live.get().journal().reader(afterSequence));
    }
    Execution execution = require(principal, executionId);
    Sandbox sandbox = sandboxes.require(principal, execution.sandboxId());
    if (sandboxes.isElsewhere(sandbox)) {
      throw sandboxes.elsewhere(sandbox);
    }
    long last = execution.outcome().map(Execution.Outcome::lastSequence).orElse(0L);
    throw JournalReader.notKept(afterSequence, last + 1);
  }

  /**
   * Returns an execution.
   *
   * @throws SandkeeperException {@link ErrorReason#EXECUTION_NOT_FOUND} when there is none that the
   *     caller may see
   */
  public Execution require(Principal principal, ExecutionId executionId) {
    return repository
        .find(executionId)
        .filter(found -> sandboxes.find(principal, found.sandboxId()).isPresent())
        .orElseThrow(() ->
            SandkeeperException.of(
                    ErrorReason.EXECUTION_NOT_FOUND,
                    "There is no such execution that the key can reach.")
                .with("executionId", executionId));
  }

  /** Returns a page of a sandbox's executions, newest first. */
  public Page<Execution> list(Principal principal, SandboxId sandboxId, Page.Request page) {
    sandboxes.require(principal, sandboxId);
    return repository.list(sandboxId, page);
  }

  /**
   * Sends a signal to an execution's processes; does nothing when it is over.
   *
   * @param number 1 to 64
   */
  public void signal(Principal principal, ExecutionId executionId, int number) {
    Execution execution = require(principal, executionId);
    Sandbox sandbox = sandboxes.require(principal, execution.sandboxId());
    if (execution.outcome().isEmpty() && sandboxes.isElsewhere(sandbox)) {
      throw sandboxes.elsewhere(sandbox);
    }
    transactions.run(transaction ->
        outcomeRecorder.signalled(transaction, principal, sandbox, executionId, number));
    kept.find(executionId).ifPresent(live -> live.signal(number));
  }

  /**
   * Refuses to keep more of an execution than the server allows.
   *
   * @param journalBytes what it asks for; empty for the usual
   * @param keep what it asks for; empty for the usual
   */
  public void requireRetention(OptionalLong journalBytes, Optional<Duration> keep) {
    var _ = limits.retention(journalBytes, keep);
  }

  /** Says whether anything runs in the sandbox, on this server. */
  boolean anyRunningIn(SandboxId sandboxId) {
    return !kept.runningIn(sandboxId).isEmpty();
  }

  @Override
  public void budgetWarning(
      LiveSandbox sandbox, String limitId, NanoUsd remaining, Instant paidUntil) {
    ExecutionEvent warning = new ExecutionEvent.BudgetWarning(limitId, remaining, paidUntil);
    kept.runningIn(sandbox.id()).forEach(live -> live.append(warning));
  }

  @Override
  public void awaitExecutions(SandboxId sandboxId, Duration timeout) {
    Set<LiveExecution> running = kept.runningIn(sandboxId);
    running.forEach(live -> live.journal().release());
    CompletableFuture<?>[] ends =
        running.stream().map(LiveExecution::done).toArray(CompletableFuture<?>[]::new);
    try {
      CompletableFuture.allOf(ends).get(timeout.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (TimeoutException | ExecutionException _) {
      // What has not ended by now is written down as LOST by whoever settles.
    }
  }

  @Override
  public void takeUpExecutions(LiveSandbox sandbox) {
    redactions.add(sandbox.id(), secrets.given(sandbox.id()));
    Map<ExecutionId, LiveExecution> taken = new LinkedHashMap<>();
    for (Execution execution : repository.running(sandbox.id())) {
      kept.load(execution.executionId())
          .ifPresent(journal ->
              taken.put(
                  execution.executionId(),
                  live(
                      execution,
                      sandbox.sandbox(),
                      journal,
                      OutputHashes.of(journal),
                      kept.loadArtifacts(execution.executionId()))));
    }
    Instant now = clock.now();
    transactions.run(
        transaction -> outcomeRecorder.lose(transaction, sandbox.sandbox(), now, taken.keySet()));
    taken
        .values()
        .forEach(live -> {
          live.resume();
          kept.add(live);
          use(sandbox, live);
        });
    List<RunningExecution> running =
        taken.values().stream()
            .map(live ->
                new RunningExecution(live.execution().executionId(), live.journal().told(), live))
            .toList();
    for (EngineExecution handle : sandbox.engine().takeUp(running)) {
      Objects.requireNonNull(taken.get(handle.id())).startedAs(handle);
    }
  }

  @Override
  public void loseExecutions(Transaction transaction, Sandbox sandbox, Instant endTime) {
    secrets.forget(transaction, sandbox.sandboxId());
    redactions.forget(sandbox.sandboxId());
    outcomeRecorder.lose(transaction, sandbox, endTime, Set.of());
  }

  /**
   * Keeps on what an earlier server kept of executions that are over. Called once, when what is
   * left of its sandboxes is taken up or settled, and before the first call is served.
   */
  public void keepEnded() {
    List<LiveExecution> found = new ArrayList<>();
    for (ExecutionId executionId : kept.left()) {
      try {
        stillKept(executionId).ifPresentOrElse(found::add, () -> kept.delete(executionId));
      } catch (RuntimeException e) {
        // Its events are lost; those of the others must not be.
        logger
            .atError()
            .addKeyValue(LogKeys.EXECUTION, executionId)
            .setCause(e)
            .log("What an earlier server kept of an execution cannot be read");
      }
    }
    found.sort(Comparator.comparing(LiveExecution::endTime));
    found.forEach(live -> {
      kept.addEnded(live, Duration.between(live.endTime(), clock.now()));
      // The earlier server may have been killed before it came to that.
      Thread.startVirtualThread(live::goOnBehindEnd);
    });
  }

  private Optional<LiveExecution> stillKept(ExecutionId executionId) {
    Optional<Execution> execution = repository.find(executionId);
    Optional<Execution.Outcome> outcome = execution.flatMap(Execution::outcome);
    Optional<Sandbox> sandbox = execution.flatMap(found -> sandboxes.find(found.sandboxId()));
    if (outcome.isEmpty() || sandbox.isEmpty()) {
      return Optional.empty();
    }
    return kept.load(executionId)
        .filter(journal ->
            outcome.get().endTime().plus(journal.retention().keep()).isAfter(clock.now()))
        .map(journal -> {
          LiveExecution live =
              live(
                  execution.orElseThrow(),
                  sandbox.get(),
                  journal,
                  Optional.empty(),
                  kept.loadArtifacts(executionId));
          live.appendFinished(outcome.get());
          return live;
        });
  }

  private LiveExecution live(
      Execution execution,
      Sandbox sandbox,
      Journal journal,
      Optional<OutputHashes> hashes,
      Optional<KeptArtifacts> artifacts) {
    return new LiveExecution(
        execution,
        sandbox,
        journal,
        hashes,
        artifacts,
        (selection, chunk) ->
            files.collect(sandbox, selection, journal.retention().journalBytes(), chunk),
        redactions.of(sandbox.sandboxId()),
        timer,
        clock,
        outcomeRecorder);
  }

  /** Leaves the ends of executions from now on to the next server. */
  @Override
  public void close() {
    outcomeRecorder.close();
    kept.letGo();
  }

  /**
   * Takes its place among what runs before its row is there: whoever finds the row, such as a
   * repetition at the same moment, finds its events, and no more run than may.
   */
  private Run executeLive(
      Principal principal,
      LiveSandbox sandbox,
      Execution execution,
      ExecutionRequest request,
      Map<String, SecretValue> given) {
    ExecutionId executionId = execution.executionId();
    LiveExecution live =
        live(
            execution,
            sandbox.sandbox(),
            kept.newJournal(executionId, limits.retention(request.journalBytes(), request.keep())),
            Optional.of(new OutputHashes()),
            request.artifacts().map(selection -> kept.newArtifacts(executionId, selection)));
    if (!use(sandbox, live)) {
      live.abandon();
      return executeEnded(principal, sandbox.sandbox(), execution, request);
    }
    boolean hasRoom = kept.add(live);
    boolean added = false;
    try {
      ExecutionRepository.Insertion insertion = insert(principal, execution, request, hasRoom);
      added = insertion instanceof ExecutionRepository.Insertion.Added;
      return added
          ? start(principal, sandbox, live, request, given)
          : notAdded(principal, sandbox.sandbox(), insertion, request);
    } finally {
      if (!added) {
        live.abandon();
      }
    }
  }

  /** Keeps the sandbox from being idle until the execution is over; false when it is too late. */
  private static boolean use(LiveSandbox sandbox, LiveExecution live) {
    boolean begun = sandbox.beginUse();
    if (begun) {
      var _ =
          live.over()
              .whenComplete((recorded, _) -> {
                if (recorded) {
                  sandbox.endUse();
                } else {
                  sandbox.abandonUse(); // nothing ran
                }
              });
    }
    return begun;
  }

  /** Answers for a sandbox that does not run here: only a repetition has anything to return. */
  private Run executeEnded(
      Principal principal, Sandbox sandbox, Execution execution, ExecutionRequest request) {
    boolean elsewhere = sandboxes.isElsewhere(sandbox);
    ExecutionRepository.Insertion insertion = insert(principal, execution, request, !elsewhere);
    if (elsewhere && insertion instanceof ExecutionRepository.Insertion.NoRoom) {
      throw sandboxes.elsewhere(sandbox);
    }
    if (insertion instanceof ExecutionRepository.Insertion.Added) {
      transactions.run(transaction -> loseExecutions(transaction, sandbox, execution.startTime()));
      throw sandboxes.notRunning(sandbox);
    }
    return notAdded(principal, sandbox, insertion, request);
  }

  /** Answers for a context that cannot be used: only a repetition has anything to return. */
  private Run executeRefused(
      Principal principal,
      Sandbox sandbox,
      Execution execution,
      ExecutionRequest request,
      SandkeeperException refusal) {
    ExecutionRepository.Insertion insertion = insert(principal, execution, request, false);
    if (insertion instanceof ExecutionRepository.Insertion.NoRoom) {
      if (refusal.reason() == ErrorReason.COMMAND_DENIED) {
        transactions.run(transaction ->
            outcomeRecorder.denied(transaction, principal, sandbox, execution, refusal));
      }
      throw refusal;
    }
    return notAdded(principal, sandbox, insertion, request);
  }

  private Run notAdded(
      Principal principal,
      Sandbox sandbox,
      ExecutionRepository.Insertion insertion,
      ExecutionRequest request) {
    return switch (insertion) {
      case ExecutionRepository.Insertion.Repeated repeated -> {
        request.requestKey().requireSame(repeated.contentHash());
        yield follow(principal, repeated.executionId(), 0);
      }
      case ExecutionRepository.Insertion.NoRoom _ -> throw tooManyExecutions();
      case ExecutionRepository.Insertion.NotRunning _ ->
          throw sandboxes.notRunning(sandboxes.require(principal, sandbox.sandboxId()));
      case ExecutionRepository.Insertion.Added _ -> throw new IllegalStateException("it was added");
    };
  }

  private ExecutionRepository.Insertion insert(
      Principal principal, Execution execution, ExecutionRequest request, boolean hasRoom) {
    return transactions.single(transaction ->
        repository.insert(transaction, principal, execution, request.requestKey(), hasRoom));
  }

  private Run start(
      Principal principal,
      LiveSandbox sandbox,
      LiveExecution live,
      ExecutionRequest request,
      Map<String, SecretValue> given) {
    JournalReader reader = live.journal().primaryReader();
    ExecutionSpec spec =
        new ExecutionSpec(
            live.execution().executionId(),
            request.run(),
            request.workingDirectory(),
            environment(request, given),
            request.stdio(),
            request.deadline().orElse(limits.defaultDeadline()));
    try {
      request
          .inputs()
          .forEach((path, content) -> files.write(principal, sandbox.id(), path, content));
      if (!given.isEmpty()) {
        give(principal, sandbox, live, given);
      }
      live.startedAs(sandbox.engine().start(spec, live));
    } catch (SandkeeperException e) {
      live.error(refusedInput(e));
      notStarted(live, ExecutionEnd.Reason.NOT_STARTED);
    } catch (EngineException e) {
      if (e.kind() == EngineException.Kind.CONTEXT_GONE) {
        live.error(new CodeError(ErrorReason.CONTEXT_NOT_FOUND.name(), "it was deleted", ""));
      }
      notStarted(
          live,
          switch (e.kind()) {
            case PAUSED, CONTEXT_GONE, PORT_CLOSED -> ExecutionEnd.Reason.NOT_STARTED;
            case FAILED, UNAVAILABLE, FULL -> ExecutionEnd.Reason.SANDBOX_ENDED;
          });
    }
    return new Run(live, reader);
  }

  /** Notes what it is given before it is, so that no output of the sandbox shows it. */
  private void give(
      Principal principal,
      LiveSandbox sandbox,
      LiveExecution live,
      Map<String, SecretValue> given) {
    redactions.add(sandbox.id(), given.values());
    transactions.run(transaction -> {
      secrets.give(transaction, sandbox.id(), given.values());
      outcomeRecorder.given(
          transaction,
          principal,
          sandbox.sandbox(),
          live.execution().executionId(),
          given.values().stream().map(SecretValue::name).toList());
    });
  }

  private static CodeError refusedInput(SandkeeperException refusal) {
    String why =
        refusal.violations().stream()
            .map(violation -> violation.field() + ": " + violation.description())
            .findFirst()
            .orElseGet(() -> refusal.getMessage() + " " + refusal.context());
    return new CodeError(refusal.reason().name(), why, "");
  }

  private static void notStarted(LiveExecution live, ExecutionEnd.Reason reason) {
    live.finished(ExecutionEnd.of(reason), () -> {});
  }

  /** Hands the trace on to the program, unless the caller says otherwise or it has no say. */
  private Map<String, String> environment(
      ExecutionRequest request, Map<String, SecretValue> given) {
    Map<String, String> environment = new HashMap<>();
    if (request.run() instanceof ExecutionSpec.Command) {
      spans.traceparent().ifPresent(trace -> environment.put("TRACEPARENT", trace));
    }
    environment.putAll(request.environment());
    given.forEach((variable, secret) -> environment.put(variable, secret.value()));
    return environment;
  }

  /** Refuses a language for which the sandbox's template has no interpreter. */
  static void requireInterpreter(LiveSandbox live, ExecutionSpec.Language language) {
    if (!live.engine().languages().contains(language)) {
      throw SandkeeperException.of(
              ErrorReason.INTERPRETER_MISSING,
              "The sandbox's template has no interpreter for the language.")
          .with("template", live.sandbox().template())
          .with("language", language);
    }
  }

  private SandkeeperException tooManyExecutions() {
    return SandkeeperException.of(
            ErrorReason.TOO_MANY_REQUESTS,
            "The sandbox runs as many executions as it may; wait for one to end.")
        .with("maxRunning", limits.maxRunning())
        .retryAfter(Duration.ofSeconds(1));
  }

  private static Optional<ExecutionSpec.Language> language(ExecutionSpec.Run run) {
    return switch (run) {
      case ExecutionSpec.Command _ -> Optional.empty();
      case ExecutionSpec.Code code -> Optional.of(code.language());
    };
  }

  private static byte[] codeHash(ExecutionSpec.Run run) {
    MessageDigest digest = OutputHash.sha256();
    switch (run) {
      case ExecutionSpec.Command command ->
          command
              .argv()
              .forEach(word -> {
                digest.update(word.getBytes(StandardCharsets.UTF_8));
                digest.update((byte) 0);
              });
      case ExecutionSpec.Code code -> digest.update(code.source().getBytes(StandardCharsets.UTF_8));
    }
    return digest.digest();
  }

  /** Costs go to whom the sandbox names; a run for someone else would hide who it was for. */
  private static void requireSameAttribution(Attribution kept, Attribution asked) {
    List<FieldViolation> violations = new ArrayList<>();
    check(violations, "organisation_id", Attribution::organisationId, kept, asked);
    check(violations, "user_id", Attribution::userId, kept, asked);
    check(violations, "conversation_id", Attribution::conversationId, kept, asked);
    check(violations, "path", Attribution::path, kept, asked);
    check(violations, "agent_id", Attribution::agentId, kept, asked);
    check(violations, "task_id", Attribution::taskId, kept, asked);
    check(violations, "correlation_id", Attribution::correlationId, kept, asked);
    check(violations, "workflow_id", Attribution::workflowId, kept, asked);
    if (!violations.isEmpty()) {
      throw SandkeeperException.invalidFields(violations);
    }
  }

  private static void check(
      List<FieldViolation> violations,
      String field,
      Function<Attribution, Optional<String>> part,
      Attribution kept,
      Attribution asked) {
    Optional<String> value = part.apply(asked);
    if (value.isPresent() && !value.equals(part.apply(kept))) {
      violations.add(
          new FieldViolation(
              "attribution." + field,
              value.get() + " (expected: absent, or the sandbox's own as fixed at its creation)"));
    }
  }
}
