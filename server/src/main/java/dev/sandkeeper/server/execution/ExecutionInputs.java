package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineInputException;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.sandbox.Sandboxes;
import java.time.Duration;

/**
 * Sends programs more to read, and sizes their terminals.
 *
 * <p>The audit trail says how much was sent, not what, nor its hash: from that of a password, which
 * comes alone, it could be guessed.
 */
public final class ExecutionInputs {
  private static final Duration RETRY_DELAY = Duration.ofSeconds(1);

  private final Transactions transactions;
  private final Executions executions;
  private final KeptExecutions kept;
  private final Sandboxes sandboxes;
  private final AuditLog auditLog;
  private final BillingClock clock;

  /** Makes the way to the programs. */
  public ExecutionInputs(
      Transactions transactions,
      Executions executions,
      KeptExecutions kept,
      Sandboxes sandboxes,
      AuditLog auditLog,
      BillingClock clock) {
    this.transactions = transactions;
    this.executions = executions;
    this.kept = kept;
    this.sandboxes = sandboxes;
    this.auditLog = auditLog;
    this.clock = clock;
  }

  /**
   * Gives a program more to read. Waits a few seconds for room.
   *
   * @param offset how many bytes were sent before; what was taken already is not taken again
   * @param data not empty
   * @return how many bytes were taken so far
   * @throws SandkeeperException when nothing of it is taken: {@link
   *     ErrorReason#EXECUTION_NOT_FOUND}, {@link ErrorReason#EXECUTION_FINISHED}, {@link
   *     ErrorReason#INPUT_NOT_OPEN}, {@link ErrorReason#INPUT_CLOSED}, {@link
   *     ErrorReason#INPUT_GAP}, {@link ErrorReason#INPUT_FULL}, or the sandbox does not run
   */
  public long send(Principal principal, ExecutionId executionId, long offset, byte[] data) {
    return reach(
        principal,
        executionId,
        (sandbox, handle) -> {
          record(principal, sandbox, executionId, data.length + " bytes at " + offset);
          return handle.sendInput(offset, data);
        });
  }

  /**
   * Ends a program's input; does nothing when it was closed before.
   *
   * @throws SandkeeperException as {@link #send}, but for gaps and room
   */
  public void close(Principal principal, ExecutionId executionId) {
    reach(
        principal,
        executionId,
        (sandbox, handle) -> {
          record(principal, sandbox, executionId, "end");
          handle.closeInput();
          return true;
        });
  }

  /**
   * Gives a terminal another size.
   *
   * @param rows 1 to 65,535
   * @param columns 1 to 65,535
   * @throws SandkeeperException {@link ErrorReason#EXECUTION_NOT_FOUND}, {@link
   *     ErrorReason#EXECUTION_FINISHED}, {@link ErrorReason#NO_TERMINAL}, or the sandbox does not
   *     run
   */
  public void resize(Principal principal, ExecutionId executionId, int rows, int columns) {
    reach(
        principal,
        executionId,
        (_, handle) -> {
          handle.resizeTerminal(rows, columns);
          return true;
        });
  }

  /** What is done to an execution that runs. */
  @FunctionalInterface
  private interface Work<T> {
    T on(Sandbox sandbox, EngineExecution handle);
  }

  private <T> T reach(Principal principal, ExecutionId executionId, Work<T> work) {
    Execution execution = executions.require(principal, executionId);
    if (execution.outcome().isPresent()) {
      throw finished(executionId);
    }
    Sandbox sandbox = sandboxes.require(principal, execution.sandboxId());
    if (sandboxes.isElsewhere(sandbox)) {
      throw sandboxes.elsewhere(sandbox);
    }
    EngineExecution handle =
        kept.find(executionId)
            .flatMap(LiveExecution::handle)
            .orElseThrow(() -> unreachable(executionId));
    try {
      return work.on(sandbox, handle);
    } catch (EngineInputException e) {
      throw refused(executionId, e).causedBy(e);
    } catch (EngineException e) {
      throw sandboxes.unusable(sandbox, e);
    }
  }

  private void record(
      Principal principal, Sandbox sandbox, ExecutionId executionId, String detail) {
    AuditEntry entry =
        sandbox
            .audited(clock.now(), AuditOperation.INPUT)
            .ran(executionId, AuditEntry.Run.NONE)
            .by(principal)
            .withDetail(detail);
    transactions.run(transaction -> auditLog.append(transaction, entry));
  }

  private static SandkeeperException refused(ExecutionId executionId, EngineInputException cause) {
    return switch (cause.kind()) {
      case OVER -> finished(executionId);
      case UNREACHABLE -> unreachable(executionId);
      case NOT_OPEN ->
          SandkeeperException.of(
                  ErrorReason.INPUT_NOT_OPEN,
                  "The execution was started without open input; set keep_stdin_open in Execute.")
              .with("executionId", executionId);
      case CLOSED ->
          SandkeeperException.of(
                  ErrorReason.INPUT_CLOSED,
                  "The input was closed, by CloseInput or by the program.")
              .with("executionId", executionId)
              .with("nextOffset", cause.nextOffset());
      case GAP ->
          SandkeeperException.of(
                  ErrorReason.INPUT_GAP, "Input before the offset is missing; go on at nextOffset.")
              .with("executionId", executionId)
              .with("nextOffset", cause.nextOffset());
      case FULL ->
          SandkeeperException.of(
                  ErrorReason.INPUT_FULL,
                  "The program does not read, and as much waits for it as may; send it again.")
              .with("executionId", executionId)
              .with("nextOffset", cause.nextOffset())
              .retryAfter(RETRY_DELAY);
      case NO_TERMINAL ->
          SandkeeperException.of(
                  ErrorReason.NO_TERMINAL,
                  "The execution has no terminal; set terminal in Execute.")
              .with("executionId", executionId);
    };
  }

  private static SandkeeperException finished(ExecutionId executionId) {
    return SandkeeperException.of(
            ErrorReason.EXECUTION_FINISHED,
            "The execution is over; GetExecution says how it ended.")
        .with("executionId", executionId);
  }

  private static SandkeeperException unreachable(ExecutionId executionId) {
    return SandkeeperException.of(
            ErrorReason.ENGINE_UNAVAILABLE, "The execution cannot be reached now; call again.")
        .with("executionId", executionId)
        .retryAfter(RETRY_DELAY);
  }
}
