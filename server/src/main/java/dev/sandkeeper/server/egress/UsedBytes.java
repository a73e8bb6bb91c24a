package dev.sandkeeper.server.egress;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Transaction;

/** Keeps how many bytes sandboxes have sent and received. */
public interface UsedBytes {
  /** Returns what was kept of a sandbox, in bytes. */
  long of(SandboxId sandboxId);

  /** Adds to what is kept of a sandbox, in bytes, not negative. */
  void add(Transaction transaction, SandboxId sandboxId, long bytes);
}
