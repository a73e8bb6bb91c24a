package dev.sandkeeper.server.base;

import java.util.random.RandomGenerator;

/**
 * Makes the identifiers of sandboxes, executions and the like.
 *
 * <p>20 characters of base 36 carry 103 bits, so two never meet by chance. The source of randomness
 * is given, so that a test can repeat a run; it must be thread-safe.
 */
public final class IdGenerator {
  private static final String ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz";
  private static final int LENGTH = 20;

  private final RandomGenerator random;

  /** Makes ids from the given source, which production gives as a {@code SecureRandom}. */
  public IdGenerator(RandomGenerator random) {
    this.random = random;
  }

  /** Returns a new sandbox id. */
  public SandboxId sandboxId() {
    return new SandboxId(next());
  }

  /** Returns a new execution id. */
  public ExecutionId executionId() {
    return new ExecutionId(next());
  }

  /** Returns 20 fresh characters of {@code [a-z0-9]}. */
  public String next() {
    StringBuilder id = new StringBuilder(LENGTH);
    for (int i = 0; i < LENGTH; i++) {
      id.append(ALPHABET.charAt(random.nextInt(ALPHABET.length())));
    }
    return id.toString();
  }
}
