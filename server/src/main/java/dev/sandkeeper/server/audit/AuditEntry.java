package dev.sandkeeper.server.audit;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * An operation to be recorded. Most parts are empty where they do not apply.
 *
 * @param tenantId in whose chain it belongs
 * @param time when it happened; billing clock
 * @param operation what was done
 * @param outcome {@link #OK}, or the reason it was refused or failed; letters and underscores
 * @param actor who did it
 * @param subject what it was done to
 * @param run what was run and what came of it
 * @param detail what was changed or connected to, or the path of a file; for people
 */
public record AuditEntry(
    TenantId tenantId,
    Instant time,
    AuditOperation operation,
    String outcome,
    Actor actor,
    Subject subject,
    Run run,
    Optional<String> detail) {

  /** The outcome of what succeeded. */
  public static final String OK = "ok";

  /**
   * Who did it.
   *
   * @param keyId the key; empty when the server acted by itself
   * @param userId the user on whose behalf
   * @param agentId the agent
   * @param remoteAddress where the call came from
   * @param userAgent what the client calls itself
   */
  public record Actor(
      Optional<String> keyId,
      Optional<String> userId,
      Optional<String> agentId,
      Optional<String> remoteAddress,
      Optional<String> userAgent) {

    /** The server itself. */
    public static final Actor SERVER =
        new Actor(
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Optional.empty());
  }

  /**
   * What it was done to.
   *
   * @param sandboxId the sandbox
   * @param executionId the execution
   * @param conversationId the conversation
   * @param path the path within the conversation
   * @param taskId the task
   */
  public record Subject(
      Optional<SandboxId> sandboxId,
      Optional<ExecutionId> executionId,
      Optional<String> conversationId,
      Optional<String> path,
      Optional<String> taskId) {

    /** Nothing in particular. */
    public static final Subject NONE =
        new Subject(
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            Optional.empty());
  }

  /**
   * What was run and what came of it.
   *
   * @param codeHash SHA-256 of the code or the command, 32 bytes
   * @param stdoutHash SHA-256 of all that was written to standard output, 32 bytes
   * @param stderrHash SHA-256 of all that was written to standard error, 32 bytes
   * @param exitCode the exit code
   * @param duration how long it took, kept in milliseconds
   * @param cpuMicros processor time, in microseconds; empty when not measured
   * @param peakMemoryBytes the most memory, in bytes; empty when not measured
   * @param costNanoUsd what it cost, in nano-USD; empty when not known
   */
  public record Run(
      Optional<byte[]> codeHash,
      Optional<byte[]> stdoutHash,
      Optional<byte[]> stderrHash,
      OptionalInt exitCode,
      Optional<Duration> duration,
      OptionalLong cpuMicros,
      OptionalLong peakMemoryBytes,
      OptionalLong costNanoUsd) {

    /** Nothing was run. */
    public static final Run NONE =
        new Run(
            Optional.empty(),
            Optional.empty(),
            Optional.empty(),
            OptionalInt.empty(),
            Optional.empty(),
            OptionalLong.empty(),
            OptionalLong.empty(),
            OptionalLong.empty());
  }

  /** Returns the entry of an operation that succeeded, done by the server itself to nothing. */
  public static AuditEntry of(TenantId tenantId, Instant time, AuditOperation operation) {
    return new AuditEntry(
        tenantId, time, operation, OK, Actor.SERVER, Subject.NONE, Run.NONE, Optional.empty());
  }

  /** Returns the same with another outcome. */
  public AuditEntry withOutcome(String newOutcome) {
    return new AuditEntry(tenantId, time, operation, newOutcome, actor, subject, run, detail);
  }

  /** Returns the same done by a caller; a user or an agent named before stays. */
  public AuditEntry by(Principal principal) {
    Actor caller =
        new Actor(
            Optional.of(principal.keyId()),
            actor.userId(),
            actor.agentId().or(principal::agentId),
            Optional.of(principal.origin().remoteAddress()).filter(text -> !text.isEmpty()),
            Optional.of(principal.origin().userAgent()).filter(text -> !text.isEmpty()));
    return new AuditEntry(tenantId, time, operation, outcome, caller, subject, run, detail);
  }

  /** Returns the same done to a sandbox, for whom it runs. */
  public AuditEntry on(SandboxId sandboxId, Attribution attribution) {
    Actor caller =
        new Actor(
            actor.keyId(),
            attribution.userId(),
            attribution.agentId().or(actor::agentId),
            actor.remoteAddress(),
            actor.userAgent());
    Subject sandbox =
        new Subject(
            Optional.of(sandboxId),
            subject.executionId(),
            attribution.conversationId(),
            attribution.path(),
            attribution.taskId());
    return new AuditEntry(tenantId, time, operation, outcome, caller, sandbox, run, detail);
  }

  /** Returns the same for an execution and what came of it. */
  public AuditEntry ran(ExecutionId executionId, Run newRun) {
    Subject execution =
        new Subject(
            subject.sandboxId(),
            Optional.of(executionId),
            subject.conversationId(),
            subject.path(),
            subject.taskId());
    return new AuditEntry(tenantId, time, operation, outcome, actor, execution, newRun, detail);
  }

  /** Returns the same with what was run and what came of it. */
  public AuditEntry withRun(Run newRun) {
    return new AuditEntry(tenantId, time, operation, outcome, actor, subject, newRun, detail);
  }

  /** Returns the same with what was changed, or the path of a file. */
  public AuditEntry withDetail(String newDetail) {
    return new AuditEntry(
        tenantId, time, operation, outcome, actor, subject, run, Optional.of(newDetail));
  }
}
