package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.redaction.Redaction;
import dev.sandkeeper.server.secret.SecretValue;
import java.nio.charset.StandardCharsets;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/**
 * What is redacted in the output of each sandbox: what is in that of all, and the secrets that its
 * executions were given.
 */
final class SandboxRedactions {
  /** The most values that a sandbox can be given, and their most bytes together. */
  static final int MAX_SECRETS = 64;

  static final int MAX_BYTES = 64 * 1024;

  private final Redaction common;
  private final Map<SandboxId, Given> given = new ConcurrentHashMap<>();

  private record Given(Set<SecretValue> values, Redaction redaction) {}

  SandboxRedactions(Redaction common) {
    this.common = common;
  }

  /**
   * Returns what tells, at any time, what is to be redacted in a sandbox's output. What it was
   * given stays so when the sandbox is forgotten. To be used by one thread at a time.
   */
  Supplier<Redaction> of(SandboxId sandboxId) {
    return new Supplier<>() {
      private Redaction last = common;

      @Override
      public Redaction get() {
        Given found = given.get(sandboxId);
        if (found != null) {
          last = found.redaction();
        }
        return last;
      }
    };
  }

  /**
   * Adds what is given to a sandbox.
   *
   * @throws SandkeeperException {@link ErrorReason#TOO_MANY_SECRETS} when it is too much together
   */
  void add(SandboxId sandboxId, Collection<SecretValue> values) {
    if (values.isEmpty()) {
      return;
    }
    given.compute(
        sandboxId,
        (_, present) -> {
          Set<SecretValue> all = new LinkedHashSet<>();
          Redaction redaction = common;
          if (present != null) {
            all.addAll(present.values());
            redaction = present.redaction();
          }
          for (SecretValue value : values) {
            if (all.add(value) && !common.isEmpty()) {
              redaction = redaction.withSecret(value.name(), value.value().strip());
            }
          }
          requireFew(all);
          return new Given(all, redaction);
        });
  }

  /** Forgets what a sandbox was given. */
  void forget(SandboxId sandboxId) {
    given.remove(sandboxId);
  }

  private static void requireFew(Set<SecretValue> all) {
    long bytes =
        all.stream()
            .mapToLong(value -> value.value().getBytes(StandardCharsets.UTF_8).length)
            .sum();
    if (all.size() > MAX_SECRETS || bytes > MAX_BYTES) {
      throw SandkeeperException.of(
              ErrorReason.TOO_MANY_SECRETS,
              "The sandbox was given as many secrets as one can be; use another sandbox.")
          .with("maxSecrets", MAX_SECRETS)
          .with("maxBytes", MAX_BYTES);
    }
  }
}
