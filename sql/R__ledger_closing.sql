-- Closing a month: its cost records and segments go, and rows that the invariants need in their place are written in the same commit.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_closed_until() RETURNS timestamptz LANGUAGE sql STABLE AS $$
  SELECT p.closed_until FROM cost_progress p
$$;
COMMENT ON FUNCTION ledger_closed_until IS 'The end of the last month that was closed; -infinity when none was.';

CREATE OR REPLACE FUNCTION ledger_spent_closed(p_limit quota_limit, p_from timestamptz, p_to timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_until timestamptz := least(p_to, ledger_closed_until());
  v_month timestamptz;
  v_spent bigint;
BEGIN
  IF p_from >= v_until THEN
    RETURN 0;
  END IF;
  -- A counter that was there when a month was closed has its part of it; one that was opened later starts from the roll-ups.
  SELECT min(q.month), coalesce(sum(q.spent), 0) INTO v_month, v_spent
  FROM quota_closing q WHERE q.limit_id = p_limit.limit_id AND q.period_start = p_from;
  RETURN v_spent + (
    SELECT coalesce(sum(r.amount_nano_usd), 0)
    FROM cost_rollup_hour r
    WHERE r.tenant_id = p_limit.tenant_id AND r.hour >= p_from AND r.hour < least(v_until, v_month)
      AND p_limit.resource IN ('ALL_SPEND', r.spend || '_SPEND')
      AND p_limit.scope_id = CASE p_limit.scope WHEN 'ORGANISATION' THEN r.organisation_id WHEN 'USER' THEN r.user_id
        WHEN 'CONVERSATION' THEN r.conversation_id WHEN 'AGENT' THEN r.agent_id ELSE '' END);
END
$$;
COMMENT ON FUNCTION ledger_spent_closed IS
  'What of a limit''s period was spent in months that are closed. Where no counter was there when they were, it goes by full hours of UTC.';

CREATE OR REPLACE FUNCTION ledger_seal(p_tenant_id text, p_month timestamptz) RETURNS bytea LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
  SELECT sha256(convert_to(coalesce(string_agg(r::text, E'\n' ORDER BY r.hour, r.group_hash), ''), 'UTF8'))
  FROM cost_rollup_hour r
  WHERE r.tenant_id = p_tenant_id AND r.hour >= p_month AND r.hour < p_month + interval '1 month'
$$;
COMMENT ON FUNCTION ledger_seal IS 'SHA-256 over a tenant''s roll-ups of a month.';

CREATE OR REPLACE FUNCTION ledger_close_month(p_before timestamptz, p_now timestamptz) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
  v_partition text;
  v_month     timestamptz;
  v_end       timestamptz;
BEGIN
  IF p_before > date_trunc('month', p_now) - interval '1 month' THEN
    RAISE EXCEPTION 'p_before: % (expected: a month before this one, or earlier)', p_before;
  END IF;
  -- In the order of ledger_make_months and ledger_fold, which wait; bookings go on.
  PERFORM ledger_make_months(p_now, 0);
  PERFORM FROM cost_progress p FOR UPDATE;
  SELECT min(c.relname) INTO v_partition
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  WHERE i.inhparent = 'cost_record'::regclass AND c.relname <> 'cost_record_default';
  v_month := to_date(v_partition, '"cost_record_"YYYY_MM');
  v_end := v_month + interval '1 month';
  IF v_end > p_before THEN
    RETURN 'NONE';
  END IF;
  EXECUTE format('LOCK TABLE %I IN SHARE ROW EXCLUSIVE MODE', v_partition);
  IF EXISTS (
    SELECT FROM hold h WHERE h.state = 'OPEN' AND CASE h.kind WHEN 'LLM' THEN h.create_time ELSE h.from_time END < v_end
  ) THEN
    RETURN 'OPEN_HOLD';
  END IF;
  IF EXISTS (
    SELECT FROM cost_record c
    WHERE c.from_time >= v_month AND c.from_time < v_end AND c.record_xid >= (SELECT p.folded_below FROM cost_progress p)
  ) THEN
    RETURN 'NOT_FOLDED';
  END IF;

  INSERT INTO cost_closing (month, tenant_id, amount_nano_usd, record_count, hours_hash, close_time)
  SELECT v_month, c.tenant_id, sum(c.amount_nano_usd), count(*), ledger_seal(c.tenant_id, v_month), p_now
  FROM cost_record c WHERE c.from_time >= v_month AND c.from_time < v_end
  GROUP BY c.tenant_id;

  -- Every period of money begins at a quarter of an hour.
  INSERT INTO quota_closing (limit_id, period_start, month, spent)
  SELECT q.limit_id, q.period_start, v_month, coalesce(s.spent, 0)
  FROM quota_period q
  JOIN quota_limit l ON l.limit_id = q.limit_id AND l.resource LIKE '%\_SPEND'
  LEFT JOIN (
    SELECT b.limit_id, b.period_start, sum(m.amount) AS spent
    FROM (
      SELECT c.tenant_id, c.organisation_id, c.user_id, c.conversation_id, c.agent_id, c.spend,
             date_bin('15 minutes', c.from_time, '1970-01-01 00:00:00+00') AS at, sum(c.amount_nano_usd) AS amount
      FROM cost_record c WHERE c.from_time >= v_month AND c.from_time < v_end
      GROUP BY c.tenant_id, c.organisation_id, c.user_id, c.conversation_id, c.agent_id, c.spend, at
    ) AS m
    CROSS JOIN LATERAL (
      SELECT i.limit_id, ledger_period_start(i.period, i.zone, m.at) AS period_start
      FROM ledger_limits(m.tenant_id, m.organisation_id, m.user_id, m.conversation_id, m.agent_id) AS i
      WHERE i.resource IN ('ALL_SPEND', m.spend || '_SPEND')
    ) AS b
    GROUP BY b.limit_id, b.period_start
  ) AS s ON s.limit_id = q.limit_id AND s.period_start = q.period_start
  WHERE q.period_start < v_end AND (q.period_end IS NULL OR q.period_end > v_month);

  WITH gone AS (
    DELETE FROM usage_segment u WHERE u.from_time >= v_month AND u.from_time < v_end RETURNING u.*
  ), segment AS (
    SELECT g.sandbox_id, max(g.to_time) AS until_time, coalesce(sum(g.lifetime_ms) FILTER (WHERE g.state = 'PAUSED'), 0) AS paused_ms,
           sum(g.exact_cost_nano_usd) AS exact
    FROM gone g GROUP BY g.sandbox_id
  ), record AS (
    SELECT c.sandbox_id, sum(c.amount_nano_usd) AS amount
    FROM cost_record c
    WHERE c.from_time >= v_month AND c.from_time < v_end AND c.spend = 'SANDBOX' AND c.kind = 'USAGE'
    GROUP BY c.sandbox_id
  )
  INSERT INTO sandbox_closing (sandbox_id, month, until_time, paused_ms, exact_cost_nano_usd, amount_nano_usd)
  SELECT s.sandbox_id, v_month, s.until_time, s.paused_ms, s.exact, coalesce(r.amount, 0)
  FROM segment s LEFT JOIN record r ON r.sandbox_id = s.sandbox_id;

  DELETE FROM reconciliation r WHERE r.check_time < v_end;

  -- From here on everybody waits, until the commit.
  LOCK TABLE cost_record IN ACCESS EXCLUSIVE MODE;
  EXECUTE format('DROP TABLE %I', v_partition);
  -- Whatever still came for the month would go to the default partition.
  ALTER TABLE cost_record_default DROP CONSTRAINT IF EXISTS cost_record_closed_check;
  EXECUTE format('ALTER TABLE cost_record_default ADD CONSTRAINT cost_record_closed_check CHECK (from_time >= %L)', v_end);
  UPDATE cost_progress SET closed_until = v_end;
  RETURN 'CLOSED';
END
$$;
COMMENT ON FUNCTION ledger_close_month IS
  'Drops the cost records and segments of the oldest month there is, if it ended at p_before or earlier, and writes what the invariants need in their place; what was compared with engines by then goes too. CLOSED; NONE (no month is that old); OPEN_HOLD (something may still be booked in the month) or NOT_FOLDED (a record of it is not rolled up yet): then nothing changed, and it can be tried again.';
REVOKE EXECUTE ON FUNCTION ledger_close_month FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_close_month TO sandkeeper_server;
