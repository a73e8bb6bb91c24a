-- One function decides reservations and endings together, see R__ledger_spend.sql.
DROP FUNCTION ledger_reserve(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], uuid[], bytea[], bigint[], text[], bigint[], bigint[], bigint[],
  bigint[], timestamptz);
DROP FUNCTION ledger_settle_spend(
  text[], text[], bigint[], bigint[], text[], bigint[], bigint[], bigint[], boolean[], timestamptz);

-- As part of hold_is_sound, for the reason given with execution_is_sound.
ALTER TABLE hold DROP CONSTRAINT hold_paused_check;
CREATE OR REPLACE FUNCTION hold_is_sound(h hold) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN CASE h.kind
      WHEN 'LLM' THEN
        num_nonnulls(h.sandbox_id, h.tier, h.cpu_cores, h.memory_mib, h.stop_time_ms) = 0 AND NOT h.paused
      WHEN 'SANDBOX' THEN
        num_nulls(h.sandbox_id, h.tier, h.cpu_cores, h.memory_mib, h.stop_time_ms) = 0 AND h.stop_time_ms >= 0
      ELSE false END
    AND CASE h.state
      WHEN 'OPEN' THEN h.end_time IS NULL
      ELSE h.state IN ('SETTLED', 'RELEASED') AND h.end_time IS NOT NULL END
    AND h.until_time >= h.from_time
    AND h.amount_nano_usd >= 0
    AND cardinality(h.charged_limits) = cardinality(h.charged_periods)
    AND cardinality(h.charged_limits) = cardinality(h.charged_amounts)
    AND 0 <= ALL (h.charged_amounts);
END
$$;
