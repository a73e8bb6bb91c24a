package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.engine.EngineContexts;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.FileInfo;
import dev.sandkeeper.server.sandbox.LiveSandbox;
import dev.sandkeeper.server.sandbox.Sandboxes;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** The contexts of running sandboxes, within a bound and with an audit event for each change. */
public final class Contexts {
  private final Sandboxes sandboxes;
  private final SandboxFiles files;
  private final Transactions transactions;
  private final AuditLog auditLog;
  private final BillingClock clock;
  private final IdGenerator ids;
  private final int most;

  /**
   * Makes the contexts.
   *
   * @param most how many may be created in one sandbox
   */
  public Contexts(
      Sandboxes sandboxes,
      SandboxFiles files,
      Transactions transactions,
      AuditLog auditLog,
      BillingClock clock,
      IdGenerator ids,
      int most) {
    this.sandboxes = sandboxes;
    this.files = files;
    this.transactions = transactions;
    this.auditLog = auditLog;
    this.clock = clock;
    this.ids = ids;
    this.most = most;
  }

  /**
   * Adds a context to a sandbox.
   *
   * @param contextId its id; empty for a new one
   * @param folder where it begins; empty for the home
   * @throws SandkeeperException when the sandbox does not run, has such a context or as many as it
   *     may, lacks the interpreter, or the folder is none
   */
  public EngineContext create(
      Principal principal,
      SandboxId sandboxId,
      Optional<ContextId> contextId,
      Language language,
      Optional<String> folder) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    Executions.requireInterpreter(sandbox, language);
    EngineContext context =
        new EngineContext(
            contextId.orElseGet(() -> new ContextId(ids.next())),
            language,
            folder,
            Optional.of(clock.now()));
    folder.ifPresent(path -> requireDirectory(principal, sandboxId, path));
    switch (in(sandbox, contexts -> contexts.create(context, most))) {
      case CREATED -> audit(principal, sandbox, "created", context.id());
      case EXISTS ->
          throw SandkeeperException.of(
                  ErrorReason.ALREADY_EXISTS, "The sandbox has a context of that id.")
              .with("contextId", context.id());
      case TOO_MANY ->
          throw SandkeeperException.of(
                  ErrorReason.TOO_MANY_CONTEXTS,
                  "The sandbox has as many contexts as it may; delete one.")
              .with("maxContexts", most);
    }
    return context;
  }

  /** Returns all contexts of a sandbox, the default ones first. */
  public List<EngineContext> list(Principal principal, SandboxId sandboxId) {
    return in(sandboxes.requireRunning(principal, sandboxId), EngineContexts::list);
  }

  /** Interrupts what runs in a context. */
  public void interrupt(Principal principal, SandboxId sandboxId, ContextId contextId) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    in(
        sandbox,
        contexts -> {
          require(contexts, contextId);
          contexts.interrupt(contextId);
          return contextId;
        });
    audit(principal, sandbox, "interrupted", contextId);
  }

  /** Begins a context anew. */
  public void restart(Principal principal, SandboxId sandboxId, ContextId contextId) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    in(
        sandbox,
        contexts -> {
          require(contexts, contextId);
          contexts.restart(contextId);
          return contextId;
        });
    audit(principal, sandbox, "restarted", contextId);
  }

  /** Removes a context. */
  public void delete(Principal principal, SandboxId sandboxId, ContextId contextId) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    in(
        sandbox,
        contexts -> {
          if (require(contexts, contextId).isDefault()) {
            throw SandkeeperException.invalidField(
                "context_id",
                contextId + " (expected: a context that was created; this one can be restarted)");
          }
          if (!contexts.delete(contextId)) {
            throw notFound(contextId);
          }
          return contextId;
        });
    audit(principal, sandbox, "deleted", contextId);
  }

  /** Says why something cannot run in the context that it names, if it cannot. */
  static Optional<SandkeeperException> refusal(LiveSandbox sandbox, ExecutionSpec.Run run) {
    if (!(run instanceof ExecutionSpec.Code code) || code.contextId().isEmpty()) {
      return Optional.empty();
    }
    ContextId contextId = code.contextId().get();
    Optional<EngineContext> context = sandbox.engine().contexts().find(contextId);
    if (context.isEmpty()) {
      return Optional.of(notFound(contextId));
    }
    return context
        .filter(found -> found.language() != code.language())
        .map(found ->
            SandkeeperException.invalidField(
                "code.context_id",
                contextId
                    + " (expected: a context of "
                    + code.language()
                    + ", which it is not but of "
                    + found.language()
                    + ")"));
  }

  private static EngineContext require(EngineContexts contexts, ContextId contextId) {
    return contexts.find(contextId).orElseThrow(() -> notFound(contextId));
  }

  private static SandkeeperException notFound(ContextId contextId) {
    return SandkeeperException.of(
            ErrorReason.CONTEXT_NOT_FOUND, "The sandbox has no such context; create it first.")
        .with("contextId", contextId);
  }

  private void requireDirectory(Principal principal, SandboxId sandboxId, String path) {
    FileInfo.Type type;
    try {
      type = files.stat(principal, sandboxId, path).type();
    } catch (SandkeeperException e) {
      throw e.reason() == ErrorReason.INVALID_FIELD
          ? SandkeeperException.invalidField(
              "working_directory", e.violations().getFirst().description())
          : e;
    }
    // Where a link leads is seen when the context begins.
    if (type != FileInfo.Type.DIRECTORY && type != FileInfo.Type.SYMLINK) {
      throw SandkeeperException.of(
              ErrorReason.FILE_REFUSED, "The working directory is no directory.")
          .with("path", path)
          .with("type", type);
    }
  }

  private <T> T in(LiveSandbox sandbox, Function<EngineContexts, T> use) {
    try {
      return use.apply(sandbox.engine().contexts());
    } catch (EngineException e) {
      throw sandboxes.unusable(sandbox.sandbox(), e);
    }
  }

  private void audit(Principal principal, LiveSandbox sandbox, String what, ContextId contextId) {
    AuditEntry entry =
        sandbox
            .sandbox()
            .audited(clock.now(), AuditOperation.CONTEXT_CHANGE)
            .by(principal)
            .withDetail(what + " the context " + contextId);
    transactions.run(transaction -> auditLog.append(transaction, entry));
  }
}
