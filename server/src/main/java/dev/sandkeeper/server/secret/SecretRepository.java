package dev.sandkeeper.server.secret;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** Keeps secrets, encrypted. */
public interface SecretRepository {
  /** Returns how many the tenant has, once no other transaction adds one. */
  int count(Transaction transaction, TenantId tenantId);

  /** Changes a secret's value; empty when there is no such secret. */
  Optional<Secret> update(
      Transaction transaction, TenantId tenantId, String name, byte[] sealed, Instant now);

  /** Adds a secret; false when there is no such tenant. */
  boolean insert(Transaction transaction, Secret secret, byte[] sealed);

  /** Deletes a secret; false when there is none of that name. */
  boolean delete(Transaction transaction, TenantId tenantId, String name);

  /** Returns a tenant's secrets by name. */
  List<Secret> list(TenantId tenantId);

  /** Returns the encrypted value of a secret. */
  Optional<byte[]> find(TenantId tenantId, String name);

  /** Notes what was given to a sandbox, unless that is noted. */
  void give(Transaction transaction, SandboxId sandboxId, SealedSecret secret);

  /** Returns what was given to a sandbox. */
  List<SealedSecret> given(SandboxId sandboxId);

  /** Forgets what was given to a sandbox. */
  void forget(Transaction transaction, SandboxId sandboxId);
}
