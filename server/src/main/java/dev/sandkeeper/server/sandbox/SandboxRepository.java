package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.EndReason;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Keeps the sandboxes. Every change of state is compare-and-set. */
public interface SandboxRepository {

  /**
   * A sandbox and the request that created it.
   *
   * @param sandbox the sandbox
   * @param contentHash SHA-256 of the request, 32 bytes
   */
  record Requested(Sandbox sandbox, byte[] contentHash) {}

  /**
   * Which sandboxes are asked for.
   *
   * @param tenantId whose
   * @param agentId only this agent's; empty for all
   * @param states only in these states; empty for all
   * @param conversationId only of this conversation; empty for all
   */
  record Query(
      TenantId tenantId,
      Optional<String> agentId,
      Set<SandboxState> states,
      Optional<String> conversationId) {}

  /** Adds a PENDING sandbox. */
  void insert(Transaction transaction, Sandbox sandbox, RequestKey requestKey);

  /** Makes a PENDING sandbox RUNNING; says whether it was PENDING. */
  boolean start(Transaction transaction, SandboxId sandboxId, long generation, Instant startTime);

  /** Makes a RUNNING or PAUSED sandbox STOPPING; says whether it was one. */
  boolean stop(Transaction transaction, SandboxId sandboxId, long generation, EndReason reason);

  /** Returns the sandbox. */
  Optional<Sandbox> find(SandboxId sandboxId);

  /** Returns the sandbox and what was asked for. */
  Optional<Requested> findRequested(SandboxId sandboxId);

  /** Returns a page, newest first by creation. */
  Page<Sandbox> list(Query query, Page.Request page);

  /** Returns what is in no final state on the machine. */
  List<Sandbox> liveOn(String nodeId);
}
