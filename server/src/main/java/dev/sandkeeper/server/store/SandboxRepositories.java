package dev.sandkeeper.server.store;

import dev.sandkeeper.server.access.ApiKeyRepository;
import dev.sandkeeper.server.egress.UsedBytes;
import dev.sandkeeper.server.execution.ExecutionRepository;
import dev.sandkeeper.server.port.PortKeyRepository;
import dev.sandkeeper.server.sandbox.ReplicaRepository;
import dev.sandkeeper.server.sandbox.SandboxRepository;
import dev.sandkeeper.server.sandbox.TemplateRepository;
import dev.sandkeeper.server.secret.SecretRepository;

/** Makes the adapters of the ports of sandboxes, executions, access and sandboxes' own ports. */
public final class SandboxRepositories {
  private SandboxRepositories() {}

  /** Returns the keeper of sandboxes. */
  public static SandboxRepository sandboxes(JooqTransactions transactions) {
    return new JooqSandboxRepository(transactions.context());
  }

  /** Returns the keeper of which servers are there. */
  public static ReplicaRepository replicas(JooqTransactions transactions) {
    return new JooqReplicaRepository(transactions.context());
  }

  /** Returns the keeper of templates. */
  public static TemplateRepository templates(JooqTransactions transactions) {
    return new JooqTemplateRepository(transactions.context());
  }

  /** Returns the keeper of what sandboxes have sent and received. */
  public static UsedBytes usedBytes(JooqTransactions transactions) {
    return new JooqUsedBytes(transactions.context());
  }

  /** Returns the keeper of executions. */
  public static ExecutionRepository executions(JooqTransactions transactions) {
    return new JooqExecutionRepository(transactions.context());
  }

  /** Returns the keeper of what the URLs of ports are signed with. */
  public static PortKeyRepository portKeys(JooqTransactions transactions) {
    return new JooqPortKeyRepository(transactions.context());
  }

  /** Returns the keeper of secrets. */
  public static SecretRepository secrets(JooqTransactions transactions) {
    return new JooqSecretRepository(transactions.context());
  }

  /** Returns the keeper of tenants and API keys. */
  public static ApiKeyRepository apiKeys(JooqTransactions transactions) {
    return new JooqApiKeyRepository(transactions.context());
  }
}
