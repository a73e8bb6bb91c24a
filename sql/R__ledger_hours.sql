-- Roll-ups: cost records summed by the hour, each record once.
--
-- Records are never changed, so what is summed is told by a bound on the transactions that wrote them. Transactions do not commit in the
-- order in which they begin; the bound is therefore never past the oldest that still runs. A report adds the records above it.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_hours(p_from_xid bigint, p_below_xid bigint) RETURNS SETOF cost_rollup_hour LANGUAGE sql STABLE AS $$
  SELECT c.tenant_id, c.hour,
         sha256(convert_to(ARRAY[
           c.organisation_id, c.user_id, c.conversation_id, c.agent_id, c.task_id, c.spend, c.tier, c.model]::text, 'UTF8')),
         c.organisation_id, c.user_id, c.conversation_id, c.agent_id, c.task_id, c.spend, c.tier, c.model,
         sum(c.amount_nano_usd)::bigint, count(*)
  FROM (SELECT r.*, date_bin('1 hour', r.from_time, '1970-01-01 00:00:00+00') AS hour FROM cost_record r) AS c
  WHERE c.record_xid >= p_from_xid AND c.record_xid < p_below_xid
  GROUP BY c.tenant_id, c.hour, c.organisation_id, c.user_id, c.conversation_id, c.agent_id, c.task_id, c.spend, c.tier, c.model
$$;
COMMENT ON FUNCTION ledger_hours IS 'The roll-ups of the cost records that these transactions wrote, from the records themselves.';

CREATE OR REPLACE FUNCTION ledger_unfolded_hours() RETURNS SETOF cost_rollup_hour LANGUAGE plpgsql STABLE ROWS 100 SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY SELECT * FROM ledger_hours((SELECT p.folded_below FROM cost_progress p), 9223372036854775807);
END
$$;
COMMENT ON FUNCTION ledger_unfolded_hours IS
  'The roll-ups of the cost records that are not in cost_rollup_hour, as of the statement that calls it. Few, so that it is not planned as a third of all records.';

CREATE OR REPLACE FUNCTION ledger_fold(p_max_records int) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  v_from  bigint;
  v_below bigint;
  v_last  bigint;
BEGIN
  SELECT p.folded_below INTO v_from FROM cost_progress p FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF v_from > pg_snapshot_xmax(pg_current_snapshot())::text::bigint THEN
    -- The rows were brought here from another PostgreSQL, whose count of transactions was further on.
    PERFORM ledger_rebuild_hours();
    RETURN false;
  END IF;
  -- All that is older has ended, and the next statement sees it.
  v_below := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  SELECT c.record_xid INTO v_last FROM cost_record c
  WHERE c.record_xid >= v_from AND c.record_xid < v_below ORDER BY c.record_xid OFFSET p_max_records - 1 LIMIT 1;
  IF FOUND THEN
    v_below := v_last + 1;
  ELSIF NOT EXISTS (SELECT FROM cost_record c WHERE c.record_xid >= v_from AND c.record_xid < v_below) THEN
    RETURN false;
  END IF;
  INSERT INTO cost_rollup_hour AS r SELECT * FROM ledger_hours(v_from, v_below)
  ON CONFLICT ON CONSTRAINT cost_rollup_hour_pk
  DO UPDATE SET amount_nano_usd = r.amount_nano_usd + excluded.amount_nano_usd, record_count = r.record_count + excluded.record_count;
  UPDATE cost_progress SET folded_below = v_below;
  RETURN v_last IS NOT NULL;
END
$$;
COMMENT ON FUNCTION ledger_fold IS
  'Rolls up cost records that are not yet: as many as p_max_records, and the rest of the last one''s transaction. True when there may be more. Only one does it at a time; another finds nothing to do.';
REVOKE EXECUTE ON FUNCTION ledger_fold FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_fold TO sandkeeper_server;

CREATE OR REPLACE FUNCTION ledger_rebuild_hours() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_closed timestamptz;
  v_below  bigint;
BEGIN
  SELECT p.closed_until INTO v_closed FROM cost_progress p FOR UPDATE;
  v_below := pg_snapshot_xmin(pg_current_snapshot())::text::bigint;
  DELETE FROM cost_rollup_hour r WHERE r.hour >= v_closed;
  INSERT INTO cost_rollup_hour SELECT * FROM ledger_hours(0, v_below);
  UPDATE cost_progress SET folded_below = v_below;
END
$$;
COMMENT ON FUNCTION ledger_rebuild_hours IS 'Makes the roll-ups of all months that are not closed anew from the records. For the owner of the schema.';
REVOKE EXECUTE ON FUNCTION ledger_rebuild_hours FROM PUBLIC;
