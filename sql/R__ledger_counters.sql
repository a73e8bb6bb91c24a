-- The counters of limits. A call may decide many items at once. Their lines say which counters they touch: what is booked there
-- for good, what the hold reserved before and what it reserves from now on. An item is granted with all its lines or with none.
-- Counters and limits are joined by lists of their keys, too: a plan that was made while there were few could read all of them.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_limits(p_tenant_id text, p_organisation_id text, p_user_id text, p_conversation_id text, p_agent_id text)
RETURNS SETOF quota_limit LANGUAGE sql STABLE ROWS 2 AS $$
  SELECT l.*
  FROM (VALUES
    ('TENANT', ''), ('ORGANISATION', p_organisation_id), ('USER', p_user_id), ('CONVERSATION', p_conversation_id),
    ('AGENT', p_agent_id)) AS k (scope, scope_id)
  -- Apart, so that each is found by its key, in whatever a call is put.
  CROSS JOIN LATERAL (
    SELECT * FROM quota_limit q WHERE q.tenant_id = p_tenant_id AND q.scope = k.scope AND q.scope_id = k.scope_id OFFSET 0
  ) AS l
$$;
COMMENT ON FUNCTION ledger_limits IS 'The limits of all scopes that something so attributed is in.';

CREATE OR REPLACE FUNCTION ledger_spent(p_limit quota_limit, p_from timestamptz, p_to timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_to timestamptz := coalesce(p_to, 'infinity'::timestamptz);
BEGIN
  IF p_limit.resource LIKE 'CONCURRENT%' THEN
    RETURN 0;
  ELSIF p_limit.resource = 'SANDBOX_CREATES' THEN
    RETURN (
      SELECT count(*) FROM hold h
      WHERE h.tenant_id = p_limit.tenant_id AND h.kind = 'SANDBOX' AND h.create_time >= p_from AND h.create_time < v_to
        AND p_limit.scope_id = CASE p_limit.scope WHEN 'ORGANISATION' THEN h.organisation_id WHEN 'USER' THEN h.user_id
          WHEN 'CONVERSATION' THEN h.conversation_id WHEN 'AGENT' THEN h.agent_id ELSE '' END);
  END IF;
  RETURN (
    SELECT coalesce(sum(c.amount_nano_usd), 0)::bigint FROM cost_record c
    WHERE c.tenant_id = p_limit.tenant_id AND c.from_time >= p_from AND c.from_time < v_to
      AND p_limit.resource IN ('ALL_SPEND', c.spend || '_SPEND')
      AND p_limit.scope_id = CASE p_limit.scope WHEN 'ORGANISATION' THEN c.organisation_id WHEN 'USER' THEN c.user_id
        WHEN 'CONVERSATION' THEN c.conversation_id WHEN 'AGENT' THEN c.agent_id ELSE '' END)
    + ledger_spent_closed(p_limit, p_from, v_to);
END
$$;
COMMENT ON FUNCTION ledger_spent IS
  'What was used for good of a limit in a period, computed from the records themselves; of closed months from what is left of them.';

CREATE OR REPLACE FUNCTION ledger_open_periods(p_limit_id bigint[], p_period_start timestamptz[], p_booked bigint[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF EXISTS (
    SELECT FROM unnest(p_limit_id, p_period_start) AS k (limit_id, period_start)
    JOIN quota_limit l ON l.limit_id = k.limit_id AND l.limit_id = ANY (p_limit_id)
    WHERE l.period <> 'MINUTE' AND k.period_start <> date_bin('15 minutes', k.period_start, '1970-01-01 00:00:00+00')
  ) THEN
    RAISE EXCEPTION 'ledger_open_periods: a period begins within a quarter of an hour, where segments are not split';
  END IF;
  -- In a period that began before its limit was set the records so far count, but for those that the caller has just
  -- written and is about to charge. Any later one was charged from its start, so there are none; the margin is for clocks.
  WITH opened AS (
    INSERT INTO quota_period (limit_id, period_start, period_end, amount, spent, excess)
    SELECT l.limit_id, k.period_start, ledger_period_end(l.period, l.zone, k.period_start), l.amount, r.spent,
           greatest(r.spent - l.amount, 0)
    FROM (
      SELECT u.limit_id, u.period_start, sum(u.booked)::bigint AS booked
      FROM unnest(p_limit_id, p_period_start, p_booked) AS u (limit_id, period_start, booked)
      GROUP BY u.limit_id, u.period_start
    ) AS k
    JOIN quota_limit l ON l.limit_id = k.limit_id AND l.limit_id = ANY (p_limit_id)
    CROSS JOIN LATERAL (
      SELECT CASE WHEN k.period_start > l.create_time + interval '5 minutes' THEN 0
        ELSE ledger_spent(l, k.period_start, ledger_period_end(l.period, l.zone, k.period_start)) - k.booked END AS spent
    ) AS r
    WHERE NOT EXISTS (SELECT FROM quota_period q WHERE q.limit_id = k.limit_id AND q.period_start = k.period_start)
    ORDER BY k.limit_id, k.period_start
    ON CONFLICT DO NOTHING
    RETURNING limit_id, period_start, excess
  )
  INSERT INTO quota_overrun (limit_id, period_start, reason, amount, record_time)
  SELECT o.limit_id, o.period_start, 'CREATED', o.excess, p_now
  FROM opened o JOIN quota_limit l ON l.limit_id = o.limit_id AND l.limit_id = ANY (p_limit_id)
  WHERE o.excess > 0 AND l.enforcement = 'HARD';
END
$$;
COMMENT ON FUNCTION ledger_open_periods IS
  'Makes the counters of limits and periods that have none yet; p_booked is what records just written in this transaction hold of each, which is left out.';

CREATE OR REPLACE FUNCTION ledger_reach(p_limit_id bigint[], p_period_start timestamptz[], p_now timestamptz) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_limit   quota_limit;
  v_reached threshold_event;
BEGIN
  FOR v_reached IN
    INSERT INTO threshold_event (limit_id, period_start, threshold, spent, amount, record_time)
    SELECT q.limit_id, q.period_start, t.threshold, q.spent, q.amount, p_now
    FROM unnest(p_limit_id, p_period_start) AS k (limit_id, period_start)
    JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
      AND q.limit_id = ANY (p_limit_id) AND q.period_start = ANY (p_period_start)
    JOIN quota_limit l ON l.limit_id = k.limit_id AND l.limit_id = ANY (p_limit_id)
    CROSS JOIN unnest(l.thresholds) AS t (threshold)
    WHERE q.amount > 0 AND q.spent::numeric * 100 >= q.amount::numeric * t.threshold
    ORDER BY q.limit_id, q.period_start, t.threshold
    ON CONFLICT DO NOTHING
    RETURNING *
  LOOP
    SELECT * INTO v_limit FROM quota_limit l WHERE l.limit_id = v_reached.limit_id;
    PERFORM alert_append(
      v_limit.tenant_id, 'limit_threshold',
      jsonb_build_object(
        'limitId', v_limit.limit_id::text, 'tenantId', v_limit.tenant_id, 'scope', v_limit.scope, 'scopeId', v_limit.scope_id,
        'resource', v_limit.resource, 'period', v_limit.period, 'zone', v_limit.zone, 'enforcement', v_limit.enforcement,
        'threshold', v_reached.threshold,
        -- As text: whoever reads JSON's numbers into floating point would lose the last digits.
        'spent', v_reached.spent::text, 'amount', v_reached.amount::text,
        'periodStartTime', to_char(v_reached.period_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'resetTime', to_char(
          ledger_period_end(v_limit.period, v_limit.zone, v_reached.period_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')),
      p_now);
  END LOOP;
END
$$;
COMMENT ON FUNCTION ledger_reach IS 'Records each threshold of these counters that is reached and was not before in its period, and appends its alert.';

CREATE OR REPLACE FUNCTION ledger_charge(
  p_item int[], p_limit_id bigint[], p_period_start timestamptz[], p_booked bigint[], p_held_before bigint[], p_held_after bigint[],
  p_guarded boolean[], p_sandbox_id text, p_now timestamptz
) RETURNS TABLE (
  item int, limit_id bigint, scope text, scope_id text, resource text, period text, remaining bigint, needed bigint, reset_time timestamptz
) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  -- Of each counter, in the order in which they are locked.
  v_limits  bigint[];
  v_starts  timestamptz[];
  v_booked  bigint[];
  v_before  bigint[];
  v_after   bigint[];
  v_wanted  bigint[];
  v_guarded boolean[];
  v_strict  boolean[];
  v_missing boolean;
  v_tight   boolean;
  v_room    bigint[];
  v_item    record;
  v_fits    boolean;
  v_refused int[] := '{}';
  v_charged bigint;
  v_reached_limits bigint[];
  v_reached_starts timestamptz[];
BEGIN
  IF p_limit_id IS NULL THEN
    RETURN;
  END IF;

  SELECT array_agg(k.limit_id), array_agg(k.period_start), array_agg(k.booked), array_agg(k.held_before), array_agg(k.held_after),
         array_agg(k.wanted), array_agg(k.guarded), array_agg(k.strict),
         bool_or(NOT EXISTS (SELECT FROM quota_period q WHERE q.limit_id = k.limit_id AND q.period_start = k.period_start))
  INTO v_limits, v_starts, v_booked, v_before, v_after, v_wanted, v_guarded, v_strict, v_missing
  FROM (
    SELECT u.limit_id, u.period_start, sum(u.booked)::bigint AS booked, sum(u.held_before)::bigint AS held_before,
           sum(u.held_after)::bigint AS held_after, sum(greatest(u.booked - u.held_before + u.held_after, 0))::bigint AS wanted,
           bool_or(u.guarded) AS guarded, bool_and(u.guarded) AS strict
    FROM unnest(p_limit_id, p_period_start, p_booked, p_held_before, p_held_after, p_guarded)
      AS u (limit_id, period_start, booked, held_before, held_after, guarded)
    GROUP BY u.limit_id, u.period_start
    ORDER BY u.limit_id, u.period_start
  ) AS k;
  -- Missing rows are made before any is locked, so that two makers cannot wait for each other.
  IF v_missing THEN
    PERFORM ledger_open_periods(p_limit_id, p_period_start, p_booked, p_now);
  END IF;
  -- Where everything that is wanted fits at once, nobody is refused, in whatever order.
  SELECT bool_or(k.guarded AND k.wanted > 0 AND k.enforcement = 'HARD' AND k.used + k.wanted > k.amount)
  INTO v_tight
  FROM (
    SELECT u.guarded, u.wanted, l.enforcement, q.spent + q.reserved AS used, q.amount
    FROM unnest(v_limits, v_starts, v_wanted, v_guarded) AS u (limit_id, period_start, wanted, guarded)
    JOIN quota_period q ON q.limit_id = u.limit_id AND q.period_start = u.period_start
      AND q.limit_id = ANY (v_limits) AND q.period_start = ANY (v_starts)
    JOIN quota_limit l ON l.limit_id = u.limit_id AND l.limit_id = ANY (v_limits)
    ORDER BY q.limit_id, q.period_start
    FOR NO KEY UPDATE OF q
  ) AS k;
  IF v_tight THEN
    -- Else one after the other, in the order in which they came: a small one gets what a large one before it could not use.
    SELECT array_agg(
      CASE l.enforcement WHEN 'HARD' THEN q.amount - q.spent - q.reserved ELSE 9223372036854775807 END
      ORDER BY q.limit_id, q.period_start)
    INTO v_room
    FROM unnest(v_limits, v_starts) AS k (limit_id, period_start)
    JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
      AND q.limit_id = ANY (v_limits) AND q.period_start = ANY (v_starts)
    JOIN quota_limit l ON l.limit_id = k.limit_id AND l.limit_id = ANY (v_limits);
    FOR v_item IN
      SELECT k.item, array_agg(k.limit_id) AS limits, array_agg(k.period_start) AS starts, array_agg(k.booked) AS booked,
             array_agg(k.held_before) AS held_before, array_agg(k.held_after) AS held_after, array_agg(k.guarded) AS guarded,
             array_agg(k.counter::int) AS counters
      FROM (
        SELECT u.*, dense_rank() OVER (ORDER BY u.limit_id, u.period_start) AS counter
        FROM unnest(p_item, p_limit_id, p_period_start, p_booked, p_held_before, p_held_after, p_guarded)
          AS u (item, limit_id, period_start, booked, held_before, held_after, guarded)
      ) AS k
      GROUP BY k.item ORDER BY k.item
    LOOP
      v_fits := true;
      FOR i IN 1 .. cardinality(v_item.counters) LOOP
        v_fits := v_fits AND NOT (v_item.guarded[i]
          AND v_item.booked[i] - v_item.held_before[i] + v_item.held_after[i] > greatest(v_room[v_item.counters[i]], 0));
      END LOOP;
      IF v_fits THEN
        FOR i IN 1 .. cardinality(v_item.counters) LOOP
          IF v_room[v_item.counters[i]] < 9223372036854775807 THEN
            v_room[v_item.counters[i]] := v_room[v_item.counters[i]]
              - v_item.booked[i] + v_item.held_before[i] - v_item.held_after[i];
          END IF;
        END LOOP;
      ELSE
        v_refused := v_refused || v_item.item;
        -- Of several limits that refuse, the one that refuses longest is named.
        RETURN QUERY
          SELECT v_item.item, l.limit_id, l.scope, l.scope_id, l.resource, l.period,
                 greatest(v_room[k.counter] + CASE WHEN k.held_after > 0 THEN k.held_before - k.booked ELSE 0 END, 0),
                 CASE WHEN k.held_after > 0 THEN k.held_after ELSE k.booked END, q.period_end
          FROM unnest(v_item.limits, v_item.starts, v_item.booked, v_item.held_before, v_item.held_after, v_item.guarded, v_item.counters)
            AS k (limit_id, period_start, booked, held_before, held_after, guarded, counter)
          JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
            AND q.limit_id = ANY (v_limits) AND q.period_start = ANY (v_starts)
          JOIN quota_limit l ON l.limit_id = k.limit_id AND l.limit_id = ANY (v_limits)
          WHERE k.guarded AND k.booked - k.held_before + k.held_after > greatest(v_room[k.counter], 0)
          ORDER BY l.resource LIKE 'CONCURRENT%', q.period_end DESC NULLS FIRST, l.limit_id
          LIMIT 1;
      END IF;
    END LOOP;
    IF v_refused <> '{}' THEN
      SELECT array_agg(k.limit_id), array_agg(k.period_start), array_agg(k.booked), array_agg(k.held_before), array_agg(k.held_after),
             array_agg(k.strict)
      INTO v_limits, v_starts, v_booked, v_before, v_after, v_strict
      FROM (
        SELECT u.limit_id, u.period_start, sum(u.booked)::bigint AS booked, sum(u.held_before)::bigint AS held_before,
               sum(u.held_after)::bigint AS held_after, bool_and(u.guarded) AS strict
        FROM unnest(p_item, p_limit_id, p_period_start, p_booked, p_held_before, p_held_after, p_guarded)
          AS u (item, limit_id, period_start, booked, held_before, held_after, guarded)
        WHERE u.item <> ALL (v_refused)
        GROUP BY u.limit_id, u.period_start
      ) AS k;
    END IF;
  END IF;

  WITH charged AS (
    UPDATE quota_period q
    SET spent = q.spent + k.booked,
        reserved = q.reserved - k.held_before + k.held_after,
        -- What was booked may go past a hard limit; what is newly held never makes the excess grow.
        excess = greatest(0, least(
          q.spent + k.booked + q.reserved - k.held_before + k.held_after - q.amount,
          CASE l.enforcement WHEN 'HARD'
            THEN greatest(q.excess, q.spent + k.booked + q.reserved - k.held_before - q.amount) END))
    FROM unnest(v_limits, v_starts, v_booked, v_before, v_after, v_strict)
      AS k (limit_id, period_start, booked, held_before, held_after, strict)
    JOIN quota_limit l ON l.limit_id = k.limit_id AND l.limit_id = ANY (v_limits)
    WHERE q.limit_id = k.limit_id AND q.period_start = k.period_start
      AND q.limit_id = ANY (v_limits) AND q.period_start = ANY (v_starts)
      AND (l.enforcement = 'SOFT' OR NOT k.strict OR k.booked - k.held_before + k.held_after <= 0
        OR q.spent + k.booked + q.reserved - k.held_before + k.held_after <= q.amount)
    RETURNING new.limit_id, new.period_start, l.enforcement, new.excess - old.excess AS growth,
      l.thresholds <> '{}' AND EXISTS (
        SELECT FROM unnest(l.thresholds) AS t (threshold)
        WHERE old.spent::numeric * 100 < new.amount::numeric * t.threshold
          AND new.spent::numeric * 100 >= new.amount::numeric * t.threshold) AS reaches
  ), overrun AS (
    INSERT INTO quota_overrun (limit_id, period_start, reason, sandbox_id, amount, record_time)
    SELECT c.limit_id, c.period_start, 'BOOKED', p_sandbox_id, c.growth, p_now
    FROM charged c WHERE c.growth > 0 AND c.enforcement = 'HARD'
  )
  SELECT count(*), array_agg(c.limit_id) FILTER (WHERE c.reaches), array_agg(c.period_start) FILTER (WHERE c.reaches)
  INTO v_charged, v_reached_limits, v_reached_starts
  FROM charged c;
  IF v_charged <> coalesce(cardinality(v_limits), 0) THEN
    RAISE EXCEPTION 'ledger_charge: % of % counters charged', v_charged, cardinality(v_limits);
  END IF;
  IF v_reached_limits IS NOT NULL THEN
    PERFORM ledger_reach(v_reached_limits, v_reached_starts, p_now);
  END IF;
END
$$;
COMMENT ON FUNCTION ledger_charge IS
  'Charges the lines of items to their counters; the records of what is booked have just been written. An item of which a guarded line does not fit is refused whole, changes nothing and is returned with the limit that refused, what that has left for it and what it needed. Lines that are not guarded are charged in any case: what already happened is booked, past a limit if need be, and the overrun recorded.';

CREATE OR REPLACE FUNCTION ledger_lines(
  p_hold hold, p_booked_at timestamptz[], p_booked bigint[], p_held_at timestamptz[], p_held bigint[], p_creates int, p_open boolean,
  p_now timestamptz
) RETURNS TABLE (
  items int[], limits bigint[], starts timestamptz[], booked bigint[], held_before bigint[], held_after bigint[], guarded boolean[]
) LANGUAGE sql STABLE ROWS 1 AS $$
  SELECT array_agg(1), array_agg(k.limit_id), array_agg(k.period_start), array_agg(k.booked), array_agg(k.held_before), array_agg(k.held_after),
         array_agg(k.guarded)
  FROM (
    SELECT c.limit_id, c.period_start, sum(c.booked)::bigint AS booked, sum(c.held_before)::bigint AS held_before,
           sum(c.held_after)::bigint AS held_after, bool_or(c.guarded) AS guarded
    FROM (
      SELECT l.limit_id, ledger_period_start(l.period, l.zone, u.at) AS period_start, u.booked, 0::bigint AS held_before,
             u.held AS held_after, u.guarded
      FROM ledger_limits(p_hold.tenant_id, p_hold.organisation_id, p_hold.user_id, p_hold.conversation_id, p_hold.agent_id) AS l
      CROSS JOIN LATERAL (
        SELECT b.at, b.amount AS booked, 0::bigint AS held, false AS guarded
        FROM unnest(p_booked_at, p_booked) AS b (at, amount) WHERE l.resource IN ('ALL_SPEND', p_hold.kind || '_SPEND')
        UNION ALL
        SELECT h.at, 0, h.amount, h.amount > 0
        FROM unnest(p_held_at, p_held) AS h (at, amount) WHERE l.resource IN ('ALL_SPEND', p_hold.kind || '_SPEND')
        UNION ALL
        SELECT p_now, 0, n.amount, true
        FROM (VALUES ('CONCURRENT_SANDBOXES', 1), ('CONCURRENT_MEMORY_MIB', p_hold.memory_mib),
            ('CONCURRENT_CPU_CORES', CASE WHEN NOT coalesce(p_hold.paused, false) THEN p_hold.cpu_cores END)) AS n (resource, amount)
        WHERE l.resource = n.resource AND n.amount > 0 AND p_open AND p_hold.kind = 'SANDBOX'
        UNION ALL
        SELECT p_now, p_creates, 0, true WHERE l.resource = 'SANDBOX_CREATES' AND p_creates > 0
      ) AS u
      UNION ALL
      SELECT h.limit_id, h.period_start, 0, h.amount, 0, false
      FROM unnest(p_hold.charged_limits, p_hold.charged_periods, p_hold.charged_amounts) AS h (limit_id, period_start, amount)
    ) AS c
    GROUP BY c.limit_id, c.period_start
  ) AS k
$$;
COMMENT ON FUNCTION ledger_lines IS
  'The lines of one hold for ledger_charge: what is booked, by time; what is held from now on in place of what the hold has charged, by time; sandboxes created; and what is in use at once while the hold is open, which of a paused sandbox are no cores. Arrays are null when no limit applies.';

CREATE OR REPLACE FUNCTION ledger_charged(INOUT p_hold hold, p_limits bigint[], p_starts timestamptz[], p_held_after bigint[]) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  SELECT coalesce(array_agg(k.limit_id), '{}'), coalesce(array_agg(k.period_start), '{}'), coalesce(array_agg(k.held_after), '{}')
  INTO p_hold.charged_limits, p_hold.charged_periods, p_hold.charged_amounts
  FROM unnest(p_limits, p_starts, p_held_after) AS k (limit_id, period_start, held_after) WHERE k.held_after > 0;
END
$$;
COMMENT ON FUNCTION ledger_charged IS 'The hold with what its lines hold from now on as what it charges.';
