package dev.sandkeeper.server.telemetry;

/**
 * One limit of a tenant's money as it stands.
 *
 * @param tenant whose it is
 * @param spendKind all_spend, sandbox_spend or llm_spend
 * @param period hour, day, week, month or lifetime
 * @param limitNanoUsd the limit, in nano-USD
 * @param spentNanoUsd what is booked in the period, in nano-USD
 * @param reservedNanoUsd what is held by what runs, in nano-USD
 */
public record QuotaReading(
    String tenant,
    String spendKind,
    String period,
    long limitNanoUsd,
    long spentNanoUsd,
    long reservedNanoUsd) {
  /** Returns the part of the limit that is spent or held; 1 for a limit of zero. */
  double utilization() {
    return limitNanoUsd == 0 ? 1 : ((double) spentNanoUsd + reservedNanoUsd) / limitNanoUsd;
  }
}
