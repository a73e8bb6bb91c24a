package dev.sandkeeper.server.ledger;

/** What a language model's work costs, or may cost at most. */
public sealed interface LlmCost {

  /**
   * An amount that the caller knows.
   *
   * @param amount 0 or more
   * @param model the model, for reports; may be empty
   */
  record Amount(NanoUsd amount, String model) implements LlmCost {}

  /** What tokens cost at the model's price. */
  record Tokens(LlmUsage usage) implements LlmCost {}
}
