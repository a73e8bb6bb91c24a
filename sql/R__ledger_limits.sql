-- Setting and deleting limits while what they limit goes on.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_set_limit(
  p_tenant_id text, p_scope text, p_scope_id text, p_resource text, p_period text, p_zone text, p_enforcement text, p_amount bigint,
  p_thresholds int[], p_max_limits bigint, p_now timestamptz
) RETURNS TABLE (outcome text, limit_id bigint, zone text, create_time timestamptz) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_limit   quota_limit;
  v_before  quota_limit;
  v_created boolean;
  v_starts  timestamptz[];
BEGIN
  PERFORM pg_advisory_xact_lock(ledger_tenant_key(p_tenant_id));
  SELECT * INTO v_before FROM quota_limit l
  WHERE l.tenant_id = p_tenant_id AND l.scope = p_scope AND l.scope_id = p_scope_id AND l.resource = p_resource AND l.period = p_period;
  v_created := NOT FOUND;
  IF NOT v_created THEN
    limit_id := v_before.limit_id;
    zone := v_before.zone;
    IF v_before.zone <> p_zone THEN
      outcome := 'OTHER_ZONE';
      RETURN NEXT;
      RETURN;
    END IF;
  ELSIF NOT EXISTS (SELECT FROM pg_timezone_names z WHERE z.name = p_zone) THEN
    outcome := 'UNKNOWN_ZONE';
    RETURN NEXT;
    RETURN;
  ELSIF (SELECT count(*) FROM quota_limit l WHERE l.tenant_id = p_tenant_id) >= p_max_limits THEN
    outcome := 'TOO_MANY';
    RETURN NEXT;
    RETURN;
  END IF;
  INSERT INTO quota_limit AS l (
    tenant_id, scope, scope_id, resource, period, zone, enforcement, amount, thresholds, create_time, update_time)
  VALUES (
    p_tenant_id, p_scope, p_scope_id, p_resource, p_period, p_zone, p_enforcement, p_amount, p_thresholds, p_now, p_now)
  ON CONFLICT ON CONSTRAINT quota_limit_scope_uq
  DO UPDATE SET amount = excluded.amount, enforcement = excluded.enforcement, thresholds = excluded.thresholds,
    update_time = excluded.update_time
  RETURNING * INTO v_limit;

  IF v_created THEN
    -- The period's records so far count, and what is held already is taken over.
    WITH adopted AS (
      SELECT h.hold_id, lines.period_start, lines.held_after
      FROM hold h
      CROSS JOIN LATERAL (
        SELECT array_agg(part.at) AS held_at, array_agg(part.amount) AS held
        FROM (
          SELECT p.from_time AS at, p.amount_nano_usd AS amount
          FROM ledger_hold_parts(h.tier, h.cpu_cores, h.memory_mib, h.from_time, h.until_time, h.exact_cost_nano_usd, h.paused) AS p
          WHERE h.kind = 'SANDBOX'
          UNION ALL
          SELECT h.create_time, h.amount_nano_usd WHERE h.kind = 'LLM'
        ) AS part
      ) AS parts
      CROSS JOIN LATERAL ledger_lines(h, '{}', '{}', parts.held_at, parts.held, 0, true, p_now) AS l
      CROSS JOIN LATERAL unnest(l.limits, l.starts, l.held_after) AS lines (limit_id, period_start, held_after)
      WHERE h.tenant_id = p_tenant_id AND h.state = 'OPEN' AND lines.limit_id = v_limit.limit_id
    ), charged AS (
      UPDATE hold h
      SET charged_limits = h.charged_limits || a.limits, charged_periods = h.charged_periods || a.periods,
          charged_amounts = h.charged_amounts || a.amounts
      FROM (
        SELECT hold_id, array_agg(v_limit.limit_id) AS limits, array_agg(period_start) AS periods, array_agg(held_after) AS amounts
        FROM adopted GROUP BY hold_id
      ) AS a
      WHERE h.hold_id = a.hold_id
    )
    SELECT array_agg(DISTINCT t.start) INTO v_starts
    FROM (SELECT ledger_period_start(p_period, p_zone, p_now) AS start UNION ALL SELECT period_start FROM adopted) AS t;
    PERFORM ledger_open_periods(
      array_fill(v_limit.limit_id, ARRAY[cardinality(v_starts)]), v_starts, array_fill(0::bigint, ARRAY[cardinality(v_starts)]), p_now);
  END IF;

  WITH changed AS (
    UPDATE quota_period q
    SET amount = p_amount,
        reserved = r.reserved,
        excess = greatest(0, q.spent + r.reserved - p_amount)
    FROM (
      SELECT p.limit_id, p.period_start,
             (SELECT coalesce(sum(c.amount), 0)::bigint
              FROM hold h CROSS JOIN unnest(h.charged_limits, h.charged_periods, h.charged_amounts) AS c (limit_id, period_start, amount)
              WHERE h.tenant_id = p_tenant_id AND h.state = 'OPEN'
                AND c.limit_id = p.limit_id AND c.period_start = p.period_start) AS reserved
      FROM quota_period p WHERE p.limit_id = v_limit.limit_id
    ) AS r
    WHERE q.limit_id = r.limit_id AND q.period_start = r.period_start
      -- A period that is over keeps the amount it had.
      AND (v_created OR q.period_end IS NULL OR q.period_end > p_now)
    RETURNING new.limit_id, new.period_start, new.excess,
      -- While it was soft, no excess was recorded.
      new.excess - CASE v_before.enforcement WHEN 'SOFT' THEN 0 ELSE old.excess END AS growth
  ), overrun AS (
    INSERT INTO quota_overrun (limit_id, period_start, reason, amount, record_time)
    SELECT c.limit_id, c.period_start, CASE WHEN v_created THEN 'CREATED' ELSE 'LOWERED' END, c.growth, p_now
    FROM changed c WHERE c.growth > 0 AND p_enforcement = 'HARD'
  )
  SELECT array_agg(c.period_start) INTO v_starts FROM changed c;
  PERFORM ledger_reach(array_fill(v_limit.limit_id, ARRAY[cardinality(v_starts)]), v_starts, p_now);
  outcome := 'SET';
  limit_id := v_limit.limit_id;
  zone := v_limit.zone;
  create_time := v_limit.create_time;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ledger_set_limit IS
  'Sets what a scope may use of a resource in a period. A new limit starts from the period''s records and takes over the open holds; one lowered below what is used admits nothing new, which is recorded. outcome: SET; OTHER_ZONE (there is one in the zone returned, which cannot change); UNKNOWN_ZONE; TOO_MANY (the tenant has p_max_limits). But for SET nothing is changed.';

CREATE OR REPLACE FUNCTION ledger_delete_limit(p_limit_id bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_tenant_id text;
BEGIN
  SELECT l.tenant_id INTO v_tenant_id FROM quota_limit l WHERE l.limit_id = p_limit_id;
  PERFORM pg_advisory_xact_lock(ledger_tenant_key(v_tenant_id));
  UPDATE hold h
  SET charged_limits = r.limits, charged_periods = r.periods, charged_amounts = r.amounts
  FROM (
    SELECT o.hold_id, coalesce(array_agg(c.limit_id) FILTER (WHERE c.limit_id <> p_limit_id), '{}') AS limits,
           coalesce(array_agg(c.period_start) FILTER (WHERE c.limit_id <> p_limit_id), '{}') AS periods,
           coalesce(array_agg(c.amount) FILTER (WHERE c.limit_id <> p_limit_id), '{}') AS amounts
    FROM hold o CROSS JOIN unnest(o.charged_limits, o.charged_periods, o.charged_amounts) AS c (limit_id, period_start, amount)
    WHERE o.tenant_id = v_tenant_id AND o.state = 'OPEN' AND p_limit_id = ANY (o.charged_limits)
    GROUP BY o.hold_id
  ) AS r
  WHERE h.hold_id = r.hold_id;
  DELETE FROM quota_limit l WHERE l.limit_id = p_limit_id;
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ledger_delete_limit IS
  'Deletes a limit with its counters and what holds charged to them; what was booked stays booked. False when there is none.';
