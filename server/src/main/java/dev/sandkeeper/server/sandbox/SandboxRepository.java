package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.EndReason;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Map;
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

  /**
   * Makes a PENDING sandbox RUNNING.
   *
   * @param remoteId what the service behind its engine calls it, if there is one
   * @return whether it was PENDING, in this generation
   */
  boolean start(
      Transaction transaction, Sandbox sandbox, Instant startTime, Optional<String> remoteId);

  /**
   * Makes a PENDING sandbox one of another engine.
   *
   * @param sandbox as it is to be
   * @param from the engine that it is of now
   * @return whether it was PENDING and of that engine
   */
  boolean move(Transaction transaction, Sandbox sandbox, String from);

  /** Makes a RUNNING or PAUSED sandbox STOPPING; says whether it was one. */
  boolean stop(Transaction transaction, SandboxId sandboxId, long generation, EndReason reason);

  /** Returns the sandbox. */
  Optional<Sandbox> find(SandboxId sandboxId);

  /** Returns those of the sandboxes that there are, in no particular order. */
  List<Sandbox> findAll(Collection<SandboxId> sandboxIds);

  /** Returns how many sandboxes that have not ended each engine has, of all servers. */
  Map<String, Integer> countLive();

  /** Returns the sandbox and what was asked for. */
  Optional<Requested> findRequested(SandboxId sandboxId);

  /** Returns a page, newest first by creation. */
  Page<Sandbox> list(Query query, Page.Request page);

  /**
   * A sandbox that a server has taken over from one that gave no sign of life.
   *
   * @param sandbox the sandbox, of the raised generation
   * @param places where the engines of the server that made it run their sandboxes; empty when that
   *     is not known
   */
  record Claimed(Sandbox sandbox, Optional<String> places) {}

  /**
   * Takes sandboxes over, to end them, from servers that have given no sign of life for the
   * timeout; none when this server has not been heard for a whole timeout itself.
   *
   * @param max how many at most
   * @return how many
   */
  int claim(Transaction transaction, String nodeId, Duration timeout, int max);

  /** Returns what the server has taken over and not ended yet. */
  List<Claimed> claimedBy(String nodeId);

  /** Returns what the server made, that is in no final state, and that no other has taken over. */
  List<Sandbox> liveOn(String nodeId);
}
