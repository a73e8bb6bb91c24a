-- Which sandboxes are to be compared with their engines' records, and who does it.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_running_ms(p_sandbox_id text) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT (
    SELECT coalesce(sum(u.lifetime_ms), 0) FROM usage_segment u WHERE u.sandbox_id = p_sandbox_id AND u.state = 'RUNNING'
  )::bigint + coalesce((
    -- Of months that are closed: segments are contiguous from the start.
    SELECT ledger_millis(date_trunc('milliseconds', s.start_time, 'UTC'), max(c.until_time)) - sum(c.paused_ms)
    FROM sandbox s JOIN sandbox_closing c ON c.sandbox_id = s.sandbox_id
    WHERE s.sandbox_id = p_sandbox_id
    GROUP BY s.sandbox_id
  ), 0)::bigint
$$;
COMMENT ON FUNCTION ledger_running_ms IS 'Milliseconds of a sandbox that were billed as running.';

CREATE OR REPLACE FUNCTION reconciliation_claim(
  p_engine text, p_ended_after timestamptz, p_ended_until timestamptz, p_now timestamptz, p_next_time timestamptz, p_max int
) RETURNS TABLE (sandbox_id text, tenant_id text, remote_id text, billed_ms bigint, end_time timestamptz)
LANGUAGE plpgsql VOLATILE ROWS 100 SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO reconciliation (sandbox_id, tenant_id, engine, next_time)
  SELECT s.sandbox_id, s.tenant_id, s.engine, p_now
  FROM sandbox s
  WHERE s.engine = p_engine AND s.start_time IS NOT NULL AND s.end_time > p_ended_after AND s.end_time <= p_ended_until
    AND NOT EXISTS (SELECT FROM reconciliation k WHERE k.sandbox_id = s.sandbox_id)
  ORDER BY s.end_time
  LIMIT p_max
  ON CONFLICT DO NOTHING;
  RETURN QUERY
  WITH due AS (
    SELECT k.sandbox_id FROM reconciliation k
    WHERE k.engine = p_engine AND k.next_time <= p_now
    ORDER BY k.next_time
    LIMIT p_max
    FOR UPDATE SKIP LOCKED
  ), claimed AS (
    UPDATE reconciliation r SET next_time = p_next_time FROM due d WHERE r.sandbox_id = d.sandbox_id RETURNING r.sandbox_id
  )
  SELECT s.sandbox_id, s.tenant_id, s.remote_id, ledger_running_ms(s.sandbox_id), s.end_time
  FROM claimed c JOIN sandbox s ON s.sandbox_id = c.sandbox_id
  ORDER BY s.end_time;
END
$$;
COMMENT ON FUNCTION reconciliation_claim IS
  'Takes sandboxes of an engine that are to be compared: new ones, that ended between the two times, and those that are due again. They are nobody else''s until p_next_time. Each with what was billed as running.';
