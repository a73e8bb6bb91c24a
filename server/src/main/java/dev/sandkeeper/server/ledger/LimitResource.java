package dev.sandkeeper.server.ledger;

/** What a limit limits. */
public enum LimitResource {
  /** All money, in nano-USD. */
  ALL_SPEND,
  /** Money for sandboxes, in nano-USD. */
  SANDBOX_SPEND,
  /** Money for language models, in nano-USD. */
  LLM_SPEND,
  /** How many sandboxes are created. */
  SANDBOX_CREATES,
  /** How many sandboxes there are at once. */
  CONCURRENT_SANDBOXES,
  /** Cores that sandboxes are allocated at once. */
  CONCURRENT_CPU_CORES,
  /** MiB of memory that sandboxes are allocated at once. */
  CONCURRENT_MEMORY_MIB;

  /** Says whether its unit is nano-USD. */
  public boolean isMoney() {
    return switch (this) {
      case ALL_SPEND, SANDBOX_SPEND, LLM_SPEND -> true;
      case SANDBOX_CREATES, CONCURRENT_SANDBOXES, CONCURRENT_CPU_CORES, CONCURRENT_MEMORY_MIB ->
          false;
    };
  }

  /** Says whether it is given back, so that no period of it ends. */
  public boolean isConcurrent() {
    return switch (this) {
      case CONCURRENT_SANDBOXES, CONCURRENT_CPU_CORES, CONCURRENT_MEMORY_MIB -> true;
      case ALL_SPEND, SANDBOX_SPEND, LLM_SPEND, SANDBOX_CREATES -> false;
    };
  }
}
