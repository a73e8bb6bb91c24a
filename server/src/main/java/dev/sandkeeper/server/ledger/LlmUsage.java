package dev.sandkeeper.server.ledger;

/**
 * Tokens of a language model.
 *
 * @param model the model, as the price book names it
 * @param inputTokens input tokens that were not cached, 0 or more
 * @param cachedInputTokens input tokens read from a cache, 0 or more
 * @param outputTokens output tokens, 0 or more
 */
public record LlmUsage(String model, long inputTokens, long cachedInputTokens, long outputTokens) {
  /** The most tokens of a kind that one record may have. */
  public static final long MAX_TOKENS = 1_000_000_000_000L;

  /** Checks the counts. */
  public LlmUsage {
    check("inputTokens", inputTokens);
    check("cachedInputTokens", cachedInputTokens);
    check("outputTokens", outputTokens);
  }

  private static void check(String name, long tokens) {
    if (tokens < 0 || tokens > MAX_TOKENS) {
      throw new IllegalArgumentException(
          name + ": " + tokens + " (expected: 0 to " + MAX_TOKENS + ")");
    }
  }
}
