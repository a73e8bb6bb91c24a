-- The protocol of the ledger again, for limits of every scope and kind. What V6 says of locks, time and arithmetic holds.
--
-- A call may decide many items at once. Their lines say which counters they touch: what is booked there for good, what the
-- hold reserved before and what it reserves from now on. An item is granted with all its lines or with none.

DROP FUNCTION ledger_violations();
DROP FUNCTION ledger_set_limit(text, text, bigint, timestamptz);
DROP FUNCTION ledger_settle(text, bigint, bigint, bigint, bigint, boolean, timestamptz, text);
DROP FUNCTION ledger_extend(text, bigint, bigint, bigint, bigint, bigint, timestamptz);
DROP FUNCTION ledger_fits(text, bigint, timestamptz[], bigint[], sandbox, timestamptz, timestamptz, numeric);
DROP FUNCTION ledger_admit(text, uuid, text, text, int, int, bigint, bigint, timestamptz);
DROP FUNCTION ledger_charge(text, text, bigint, timestamptz[], bigint[], timestamptz[], bigint[], boolean, timestamptz);
DROP FUNCTION ledger_changes(text, bigint, timestamptz[], bigint[], timestamptz[], bigint[]);
DROP FUNCTION ledger_open_periods(bigint[], timestamptz[], bigint[], timestamptz);
DROP FUNCTION ledger_period_end(text, timestamptz);
DROP FUNCTION ledger_period_start(text, timestamptz);

-- Periods ----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_local_time(p_local timestamp, p_zone text) RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
  -- PostgreSQL takes the later of two, and the moment of the skip for a time that is skipped.
  v_later   timestamptz := p_local AT TIME ZONE p_zone;
  v_before  timestamptz := v_later - interval '3 hours';
  v_earlier timestamptz := (p_local - ((v_before AT TIME ZONE p_zone) - (v_before AT TIME ZONE 'UTC'))) AT TIME ZONE 'UTC';
BEGIN
  RETURN CASE WHEN v_earlier < v_later AND v_earlier AT TIME ZONE p_zone = p_local THEN v_earlier ELSE v_later END;
END
$$;
COMMENT ON FUNCTION ledger_local_time IS
  'The moment at which clocks of a zone show a time: the first, where it comes twice as they are set back; the moment of the skip, where they are set forward over it.';

CREATE FUNCTION ledger_period_start(p_period text, p_zone text, p_at timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
  RETURN CASE
    WHEN p_period = 'LIFETIME' THEN '1970-01-01 00:00:00+00'::timestamptz
    WHEN p_period = 'MINUTE' THEN date_bin('1 minute', p_at, '1970-01-01 00:00:00+00')
    WHEN p_zone = 'UTC' THEN date_trunc(p_period, p_at, 'UTC')
    WHEN p_period = 'HOUR' THEN date_bin('1 hour', p_at, ledger_period_start('DAY', p_zone, p_at))
    ELSE ledger_local_time(date_trunc(p_period, p_at AT TIME ZONE p_zone), p_zone)
  END;
END
$$;
COMMENT ON FUNCTION ledger_period_start IS
  'Start of the period of a zone that holds a time; the epoch for LIFETIME. Hours count from midnight, so a day has 23 or 25 of them when clocks change.';

CREATE FUNCTION ledger_period_end(p_period text, p_zone text, p_period_start timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
  RETURN CASE p_period
    WHEN 'MINUTE' THEN p_period_start + interval '1 minute'
    -- Where clocks change by half an hour the day's last hour is that short.
    WHEN 'HOUR' THEN least(
      p_period_start + interval '1 hour', ledger_period_end('DAY', p_zone, ledger_period_start('DAY', p_zone, p_period_start)))
    WHEN 'DAY' THEN ledger_local_time(date_trunc('day', p_period_start AT TIME ZONE p_zone) + interval '1 day', p_zone)
    WHEN 'WEEK' THEN ledger_local_time(date_trunc('week', p_period_start AT TIME ZONE p_zone) + interval '7 days', p_zone)
    WHEN 'MONTH' THEN ledger_local_time(date_trunc('month', p_period_start AT TIME ZONE p_zone) + interval '1 month', p_zone)
  END;
END
$$;
COMMENT ON FUNCTION ledger_period_end IS 'End of the period that starts then, where the next one starts; null for LIFETIME.';

CREATE OR REPLACE FUNCTION ledger_pieces(p_tier text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
  from_time timestamptz, to_time timestamptz, lifetime_ms bigint, price_version_id bigint, basis text,
  usd_per_second numeric, usd_per_core_second numeric, usd_per_gib_second numeric
) LANGUAGE sql STABLE ROWS 2 AS $$
  SELECT piece.from_time, piece.to_time, ledger_millis(piece.from_time, piece.to_time), v.price_version_id, v.basis,
         v.usd_per_second, v.usd_per_core_second, v.usd_per_gib_second
  FROM generate_series(date_bin('15 minutes', p_from, '1970-01-01 00:00:00+00'), p_to, interval '15 minutes') AS quarter (start)
  JOIN price_version v ON v.tier = p_tier
    AND v.start_time < least(quarter.start + interval '15 minutes', p_to)
    AND (v.end_time IS NULL OR v.end_time > greatest(quarter.start, p_from))
  CROSS JOIN LATERAL (
    SELECT greatest(quarter.start, v.start_time, p_from) AS from_time, least(quarter.start + interval '15 minutes', v.end_time, p_to) AS to_time
  ) AS piece
  WHERE piece.from_time < piece.to_time
  ORDER BY piece.from_time
$$;
COMMENT ON FUNCTION ledger_pieces IS
  'Splits a span at quarters of an hour, where every period of every zone begins, and at price changes. Time without a price is left out.';

-- Counters ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_limits(p_tenant_id text, p_organisation_id text, p_user_id text, p_conversation_id text, p_agent_id text)
RETURNS SETOF quota_limit LANGUAGE sql STABLE ROWS 2 AS $$
  SELECT l.*
  FROM (VALUES
    ('TENANT', ''), ('ORGANISATION', p_organisation_id), ('USER', p_user_id), ('CONVERSATION', p_conversation_id),
    ('AGENT', p_agent_id)) AS k (scope, scope_id)
  JOIN quota_limit l ON l.tenant_id = p_tenant_id AND l.scope = k.scope AND l.scope_id = k.scope_id
$$;
COMMENT ON FUNCTION ledger_limits IS 'The limits of all scopes that something so attributed is in.';

CREATE FUNCTION ledger_spent(p_limit quota_limit, p_from timestamptz, p_to timestamptz) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
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
        WHEN 'CONVERSATION' THEN c.conversation_id WHEN 'AGENT' THEN c.agent_id ELSE '' END);
END
$$;
COMMENT ON FUNCTION ledger_spent IS 'What was used for good of a limit in a span, computed from the records themselves.';

CREATE FUNCTION ledger_open_periods(p_limit_id bigint[], p_period_start timestamptz[], p_booked bigint[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF EXISTS (
    SELECT FROM unnest(p_limit_id, p_period_start) AS k (limit_id, period_start)
    JOIN quota_limit l ON l.limit_id = k.limit_id
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
    JOIN quota_limit l ON l.limit_id = k.limit_id
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
  FROM opened o JOIN quota_limit l ON l.limit_id = o.limit_id
  WHERE o.excess > 0 AND l.enforcement = 'HARD';
END
$$;
COMMENT ON FUNCTION ledger_open_periods IS
  'Makes the counters of limits and periods that have none yet; p_booked is what records just written in this transaction hold of each, which is left out.';

CREATE FUNCTION ledger_reach(p_limit_id bigint[], p_period_start timestamptz[], p_now timestamptz) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_limit   quota_limit;
  v_reached threshold_event;
BEGIN
  FOR v_reached IN
    INSERT INTO threshold_event (limit_id, period_start, threshold, spent, amount, record_time)
    SELECT q.limit_id, q.period_start, t.threshold, q.spent, q.amount, p_now
    FROM unnest(p_limit_id, p_period_start) AS k (limit_id, period_start)
    JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
    JOIN quota_limit l ON l.limit_id = k.limit_id
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

CREATE FUNCTION ledger_charge(
  p_item int[], p_limit_id bigint[], p_period_start timestamptz[], p_booked bigint[], p_held_before bigint[], p_held_after bigint[],
  p_guarded boolean[], p_sandbox_id text, p_now timestamptz
) RETURNS TABLE (
  item int, limit_id bigint, scope text, scope_id text, resource text, period text, remaining bigint, needed bigint, reset_time timestamptz
) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_tight   boolean;
  v_room    bigint[];
  v_item    record;
  v_fits    boolean;
  v_refused int[] := '{}';
  v_touched bigint;
  v_charged bigint;
  v_limits  bigint[];
  v_starts  timestamptz[];
BEGIN
  IF p_limit_id IS NULL THEN
    RETURN;
  END IF;

  -- Missing rows are made before any is locked, so that two makers cannot wait for each other.
  IF EXISTS (
    SELECT FROM unnest(p_limit_id, p_period_start) AS k (limit_id, period_start)
    WHERE NOT EXISTS (SELECT FROM quota_period q WHERE q.limit_id = k.limit_id AND q.period_start = k.period_start)
  ) THEN
    PERFORM ledger_open_periods(p_limit_id, p_period_start, p_booked, p_now);
  END IF;
  PERFORM FROM quota_period q
  JOIN (SELECT DISTINCT u.limit_id, u.period_start FROM unnest(p_limit_id, p_period_start) AS u (limit_id, period_start)) AS k
    ON q.limit_id = k.limit_id AND q.period_start = k.period_start
  ORDER BY q.limit_id, q.period_start
  FOR NO KEY UPDATE OF q;

  -- Where everything that is wanted fits at once, nobody is refused, in whatever order.
  v_tight := EXISTS (
    SELECT
    FROM (
      SELECT u.limit_id, u.period_start, bool_or(u.guarded) AS guarded,
             sum(greatest(u.booked - u.held_before + u.held_after, 0)) AS wanted
      FROM unnest(p_limit_id, p_period_start, p_booked, p_held_before, p_held_after, p_guarded)
        AS u (limit_id, period_start, booked, held_before, held_after, guarded)
      GROUP BY u.limit_id, u.period_start
    ) AS k
    JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
    JOIN quota_limit l ON l.limit_id = k.limit_id
    WHERE k.guarded AND k.wanted > 0 AND l.enforcement = 'HARD' AND q.spent + q.reserved + k.wanted > q.amount);
  IF v_tight THEN
    -- Else one after the other, in the order in which they came: a small one gets what a large one before it could not use.
    SELECT array_agg(
      CASE l.enforcement WHEN 'HARD' THEN q.amount - q.spent - q.reserved ELSE 9223372036854775807 END
      ORDER BY q.limit_id, q.period_start)
    INTO v_room
    FROM (SELECT DISTINCT u.limit_id, u.period_start FROM unnest(p_limit_id, p_period_start) AS u (limit_id, period_start)) AS k
    JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
    JOIN quota_limit l ON l.limit_id = k.limit_id;
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
          JOIN quota_limit l ON l.limit_id = k.limit_id
          WHERE k.guarded AND k.booked - k.held_before + k.held_after > greatest(v_room[k.counter], 0)
          ORDER BY l.resource LIKE 'CONCURRENT%', q.period_end DESC NULLS FIRST, l.limit_id
          LIMIT 1;
      END IF;
    END LOOP;
  END IF;

  WITH change AS (
    SELECT u.limit_id, u.period_start, sum(u.booked)::bigint AS booked, sum(u.held_before)::bigint AS held_before,
           sum(u.held_after)::bigint AS held_after, bool_and(u.guarded) AS guarded
    FROM unnest(p_item, p_limit_id, p_period_start, p_booked, p_held_before, p_held_after, p_guarded)
      AS u (item, limit_id, period_start, booked, held_before, held_after, guarded)
    WHERE u.item <> ALL (v_refused)
    GROUP BY u.limit_id, u.period_start
  ), charged AS (
    UPDATE quota_period q
    SET spent = q.spent + k.booked,
        reserved = q.reserved - k.held_before + k.held_after,
        -- What was booked may go past a hard limit; what is newly held never makes the excess grow.
        excess = greatest(0, least(
          q.spent + k.booked + q.reserved - k.held_before + k.held_after - q.amount,
          CASE l.enforcement WHEN 'HARD'
            THEN greatest(q.excess, q.spent + k.booked + q.reserved - k.held_before - q.amount) END))
    FROM change k
    JOIN quota_limit l ON l.limit_id = k.limit_id
    WHERE q.limit_id = k.limit_id AND q.period_start = k.period_start
      AND (l.enforcement = 'SOFT' OR NOT k.guarded OR k.booked - k.held_before + k.held_after <= 0
        OR q.spent + k.booked + q.reserved - k.held_before + k.held_after <= q.amount)
    RETURNING new.limit_id, new.period_start, l.enforcement, new.excess - old.excess AS growth,
      EXISTS (
        SELECT FROM unnest(l.thresholds) AS t (threshold)
        WHERE old.spent::numeric * 100 < new.amount::numeric * t.threshold
          AND new.spent::numeric * 100 >= new.amount::numeric * t.threshold) AS reaches
  ), overrun AS (
    INSERT INTO quota_overrun (limit_id, period_start, reason, sandbox_id, amount, record_time)
    SELECT c.limit_id, c.period_start, 'BOOKED', p_sandbox_id, c.growth, p_now
    FROM charged c WHERE c.growth > 0 AND c.enforcement = 'HARD'
  )
  SELECT (SELECT count(*) FROM change), count(*),
         array_agg(c.limit_id) FILTER (WHERE c.reaches), array_agg(c.period_start) FILTER (WHERE c.reaches)
  INTO v_touched, v_charged, v_limits, v_starts
  FROM charged c;
  IF v_charged <> v_touched THEN
    RAISE EXCEPTION 'ledger_charge: % of % counters charged', v_charged, v_touched;
  END IF;
  IF v_limits IS NOT NULL THEN
    PERFORM ledger_reach(v_limits, v_starts, p_now);
  END IF;
END
$$;
COMMENT ON FUNCTION ledger_charge IS
  'Charges the lines of items to their counters; the records of what is booked have just been written. An item of which a guarded line does not fit is refused whole, changes nothing and is returned with the limit that refused, what that has left for it and what it needed. Lines that are not guarded are charged in any case: what already happened is booked, past a limit if need be, and the overrun recorded.';

CREATE FUNCTION ledger_lines(
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
        FROM (VALUES ('CONCURRENT_SANDBOXES', 1), ('CONCURRENT_CPU_CORES', p_hold.cpu_cores), ('CONCURRENT_MEMORY_MIB', p_hold.memory_mib))
          AS n (resource, amount)
        WHERE l.resource = n.resource AND p_open AND p_hold.kind = 'SANDBOX'
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
  'The lines of one hold for ledger_charge: what is booked, by time; what is held from now on in place of what the hold has charged, by time; sandboxes created; and what is in use at once while the hold is open. Arrays are null when no limit applies.';

CREATE FUNCTION ledger_charged(INOUT p_hold hold, p_limits bigint[], p_starts timestamptz[], p_held_after bigint[]) LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  SELECT coalesce(array_agg(k.limit_id), '{}'), coalesce(array_agg(k.period_start), '{}'), coalesce(array_agg(k.held_after), '{}')
  INTO p_hold.charged_limits, p_hold.charged_periods, p_hold.charged_amounts
  FROM unnest(p_limits, p_starts, p_held_after) AS k (limit_id, period_start, held_after) WHERE k.held_after > 0;
END
$$;
COMMENT ON FUNCTION ledger_charged IS 'The hold with what its lines hold from now on as what it charges.';

-- Admit, extend, settle ----------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_admit(
  p_tenant_id text, p_organisation_id text, p_user_id text, p_conversation_id text, p_agent_id text,
  p_request_id uuid, p_sandbox_id text, p_tier text, p_cpu_cores int, p_memory_mib int,
  p_lease_ms bigint, p_stop_time_ms bigint, p_now timestamptz
) RETURNS TABLE (
  outcome text, hold_id bigint, sandbox_id text, paid_until timestamptz, amount_nano_usd bigint,
  limit_id bigint, scope text, scope_id text, resource text, period text, remaining bigint, needed bigint, reset_time timestamptz
) LANGUAGE plpgsql VOLATILE ROWS 1 SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  v_now     timestamptz := date_trunc('milliseconds', p_now, 'UTC');
  v_held_at timestamptz[];
  v_held    bigint[];
  v_priced  bigint;
  v_hold    hold;
  v_lines   record;
  v_miss    record;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(ledger_tenant_key(p_tenant_id));
  v_hold.tenant_id := p_tenant_id;
  v_hold.kind := 'SANDBOX';
  v_hold.organisation_id := p_organisation_id;
  v_hold.user_id := p_user_id;
  v_hold.conversation_id := p_conversation_id;
  v_hold.agent_id := p_agent_id;
  v_hold.cpu_cores := p_cpu_cores;
  v_hold.memory_mib := p_memory_mib;
  v_hold.until_time := v_now + make_interval(secs => (p_lease_ms + p_stop_time_ms) / 1000.0);
  SELECT array_agg(p.from_time), array_agg(p.amount_nano_usd), coalesce(sum(p.amount_nano_usd), 0), coalesce(sum(p.lifetime_ms), 0)
  INTO v_held_at, v_held, v_hold.amount_nano_usd, v_priced
  FROM ledger_hold_parts(p_tier, p_cpu_cores, p_memory_mib, v_now, v_hold.until_time, 0) AS p;
  SELECT * INTO v_lines FROM ledger_lines(v_hold, '{}', '{}', v_held_at, v_held, 1, true, v_now);
  v_hold := ledger_charged(v_hold, v_lines.limits, v_lines.starts, v_lines.held_after);

  -- An equal request that is being admitted elsewhere makes this wait for its outcome.
  INSERT INTO hold (
    tenant_id, request_id, kind, sandbox_id, state, tier, cpu_cores, memory_mib, stop_time_ms, from_time, until_time,
    amount_nano_usd, create_time, organisation_id, user_id, conversation_id, agent_id, charged_limits, charged_periods,
    charged_amounts)
  VALUES (
    p_tenant_id, p_request_id, 'SANDBOX', p_sandbox_id, 'OPEN', p_tier, p_cpu_cores, p_memory_mib, p_stop_time_ms, v_now,
    v_hold.until_time, v_hold.amount_nano_usd, v_now, p_organisation_id, p_user_id, p_conversation_id, p_agent_id,
    v_hold.charged_limits, v_hold.charged_periods, v_hold.charged_amounts)
  ON CONFLICT ON CONSTRAINT hold_request_id_uq DO NOTHING
  RETURNING * INTO v_hold;
  IF NOT FOUND THEN
    SELECT * INTO v_hold FROM hold h WHERE h.tenant_id = p_tenant_id AND h.request_id = p_request_id;
    outcome := CASE v_hold.kind WHEN 'SANDBOX' THEN 'REPLAYED' ELSE 'OTHER_KIND' END;
    hold_id := v_hold.hold_id;
    sandbox_id := v_hold.sandbox_id;
    RETURN NEXT;
    RETURN;
  END IF;
  sandbox_id := p_sandbox_id;

  IF v_priced <> p_lease_ms + p_stop_time_ms THEN
    outcome := 'NO_PRICE';
  ELSE
    SELECT * INTO v_miss
    FROM ledger_charge(
      v_lines.items, v_lines.limits, v_lines.starts, v_lines.booked, v_lines.held_before, v_lines.held_after, v_lines.guarded,
      p_sandbox_id, v_now);
    IF FOUND THEN
      outcome := 'DENIED';
      limit_id := v_miss.limit_id;
      scope := v_miss.scope;
      scope_id := v_miss.scope_id;
      resource := v_miss.resource;
      period := v_miss.period;
      remaining := v_miss.remaining;
      needed := v_miss.needed;
      reset_time := v_miss.reset_time;
    ELSE
      outcome := 'GRANTED';
      hold_id := v_hold.hold_id;
      paid_until := v_now + make_interval(secs => p_lease_ms / 1000.0);
    END IF;
  END IF;
  amount_nano_usd := v_hold.amount_nano_usd;
  IF outcome <> 'GRANTED' THEN
    DELETE FROM hold h WHERE h.hold_id = v_hold.hold_id;
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ledger_admit IS
  'Admits a new sandbox: sets money aside for its first lease and the time to stop, and takes its place, on every limit of every scope it is in, or on none. outcome: GRANTED; REPLAYED (the request was admitted before, sandbox_id says for what); OTHER_KIND (the request id was used for another kind of spend); DENIED (by the limit named; nothing changed); NO_PRICE (nothing changed). The caller inserts the sandbox in the same transaction.';

CREATE FUNCTION ledger_fits(
  p_hold hold, p_booked_at timestamptz[], p_booked bigint[], p_tier text, p_from timestamptz, p_until timestamptz, p_exact_cost_nano_usd numeric
) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (
    SELECT
    FROM (
      SELECT coalesce(array_agg(p.from_time), '{}') AS held_at, coalesce(array_agg(p.amount_nano_usd), '{}') AS held
      FROM ledger_hold_parts(p_tier, p_hold.cpu_cores, p_hold.memory_mib, p_from, p_until, p_exact_cost_nano_usd) AS p
    ) AS parts
    CROSS JOIN LATERAL ledger_lines(p_hold, p_booked_at, p_booked, parts.held_at, parts.held, 0, true, p_from) AS lines
    CROSS JOIN LATERAL unnest(lines.limits, lines.starts, lines.booked, lines.held_before, lines.held_after, lines.guarded)
      AS k (limit_id, period_start, booked, held_before, held_after, guarded)
    JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
    JOIN quota_limit l ON l.limit_id = k.limit_id AND l.enforcement = 'HARD'
    WHERE k.guarded AND k.booked - k.held_before + k.held_after > 0
      AND q.spent + k.booked + q.reserved - k.held_before + k.held_after > q.amount)
$$;
COMMENT ON FUNCTION ledger_fits IS 'Whether a hold over this span would be granted by ledger_charge; the counters are locked by the caller.';

CREATE FUNCTION ledger_extend(
  p_sandbox_id text, p_generation bigint, p_cpu_micros bigint, p_memory_mib_millis bigint, p_peak_memory_bytes bigint,
  p_lease_ms bigint, p_now timestamptz
) RETURNS TABLE (
  outcome text, paid_until timestamptz, limit_id bigint, scope text, scope_id text, resource text, period text, remaining bigint, needed bigint,
  reset_time timestamptz
) LANGUAGE plpgsql VOLATILE ROWS 1 SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  v_now     timestamptz := date_trunc('milliseconds', p_now, 'UTC');
  v_tenant  text;
  v_sandbox sandbox;
  v_hold    hold;
  v_book    record;
  v_lines   record;
  v_miss    record;
  v_held_at timestamptz[];
  v_held    bigint[];
  v_stop    interval;
  v_low     timestamptz;
  v_high    timestamptz;
  v_middle  timestamptz;
BEGIN
  SELECT s.tenant_id INTO v_tenant FROM sandbox s WHERE s.sandbox_id = p_sandbox_id;
  PERFORM pg_advisory_xact_lock_shared(ledger_tenant_key(v_tenant));
  SELECT * INTO v_sandbox FROM sandbox s
  WHERE s.sandbox_id = p_sandbox_id AND s.generation = p_generation AND s.state = 'RUNNING' FOR NO KEY UPDATE;
  IF FOUND THEN
    SELECT * INTO v_hold FROM hold h WHERE h.sandbox_id = p_sandbox_id AND h.state = 'OPEN' FOR NO KEY UPDATE;
  END IF;
  IF NOT FOUND THEN
    outcome := 'FENCED';
    RETURN NEXT;
    RETURN;
  END IF;

  v_now := greatest(v_now, v_sandbox.metered_until);
  SELECT * INTO v_book FROM ledger_book(v_sandbox, v_now, p_cpu_micros, p_memory_mib_millis, 'MEASURED');
  v_stop := make_interval(secs => v_hold.stop_time_ms / 1000.0);
  v_low := v_sandbox.paid_until;
  v_high := greatest(
    v_low, least(v_now + make_interval(secs => p_lease_ms / 1000.0), date_trunc('milliseconds', v_sandbox.expire_time, 'UTC')));

  SELECT array_agg(p.from_time), array_agg(p.amount_nano_usd) INTO v_held_at, v_held
  FROM ledger_hold_parts(v_sandbox.tier, v_sandbox.cpu_cores, v_sandbox.memory_mib, v_now, v_high + v_stop, v_book.exact_cost_nano_usd) AS p;
  SELECT * INTO v_lines FROM ledger_lines(v_hold, v_book.booked_at, v_book.booked, v_held_at, v_held, 0, true, v_now);
  SELECT * INTO v_miss
  FROM ledger_charge(
    v_lines.items, v_lines.limits, v_lines.starts, v_lines.booked, v_lines.held_before, v_lines.held_after, v_lines.guarded,
    p_sandbox_id, v_now);
  IF NOT FOUND THEN
    outcome := 'RENEWED';
  ELSE
    limit_id := v_miss.limit_id;
    scope := v_miss.scope;
    scope_id := v_miss.scope_id;
    resource := v_miss.resource;
    period := v_miss.period;
    remaining := v_miss.remaining;
    needed := v_miss.needed;
    reset_time := v_miss.reset_time;
    -- Take what is left: the longest lease, to the millisecond, that every limit can pay. The counters are locked, so
    -- each trial sees the same figures. What is paid already stays paid, even where a limit was lowered below it.
    outcome := 'REFUSED';
    WHILE v_low < v_high LOOP
      v_middle := v_low + make_interval(secs => ceil(ledger_millis(v_low, v_high) / 2.0) / 1000.0);
      IF ledger_fits(v_hold, v_book.booked_at, v_book.booked, v_sandbox.tier, v_now, v_middle + v_stop, v_book.exact_cost_nano_usd) THEN
        v_low := v_middle;
        outcome := 'SHORTENED';
      ELSE
        v_high := v_middle - interval '1 millisecond';
      END IF;
    END LOOP;
    SELECT array_agg(p.from_time), array_agg(p.amount_nano_usd) INTO v_held_at, v_held
    FROM ledger_hold_parts(
      v_sandbox.tier, v_sandbox.cpu_cores, v_sandbox.memory_mib, v_now, v_high + v_stop, v_book.exact_cost_nano_usd) AS p;
    SELECT * INTO v_lines FROM ledger_lines(v_hold, v_book.booked_at, v_book.booked, v_held_at, v_held, 0, true, v_now);
    PERFORM FROM ledger_charge(
      v_lines.items, v_lines.limits, v_lines.starts, v_lines.booked, v_lines.held_before, v_lines.held_after,
      CASE outcome WHEN 'REFUSED' THEN array_fill(false, ARRAY[coalesce(cardinality(v_lines.limits), 0)]) ELSE v_lines.guarded END,
      p_sandbox_id, v_now);
    IF FOUND THEN
      RAISE EXCEPTION 'ledger_extend: the shortened lease of % was refused', p_sandbox_id;
    END IF;
  END IF;

  v_hold := ledger_charged(v_hold, v_lines.limits, v_lines.starts, v_lines.held_after);
  UPDATE hold h
  SET charged_limits = v_hold.charged_limits, charged_periods = v_hold.charged_periods, charged_amounts = v_hold.charged_amounts,
      from_time = v_now, until_time = greatest(v_now, v_high + v_stop), exact_cost_nano_usd = v_book.exact_cost_nano_usd,
      amount_nano_usd = coalesce((SELECT sum(amount) FROM unnest(v_held) AS amount), 0)
  WHERE h.hold_id = v_hold.hold_id;
  UPDATE sandbox s
  SET paid_until = v_high, metered_until = v_book.metered_until,
      cpu_micros = greatest(s.cpu_micros, p_cpu_micros), memory_mib_millis = greatest(s.memory_mib_millis, p_memory_mib_millis),
      peak_memory_bytes = greatest(s.peak_memory_bytes, p_peak_memory_bytes),
      accounted_cpu_micros = v_book.accounted_cpu_micros, accounted_memory_mib_millis = v_book.accounted_memory_mib_millis,
      exact_cost_nano_usd = v_book.exact_cost_nano_usd, cost_nano_usd = v_book.cost_nano_usd
  WHERE s.sandbox_id = p_sandbox_id;
  paid_until := v_high;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ledger_extend IS
  'Meters a running sandbox up to now and renews its lease, never past its expiry. outcome: RENEWED; SHORTENED (the limit named pays for no more); REFUSED (paid_until stays as it was); FENCED (not running, or another generation; nothing changed).';

CREATE FUNCTION ledger_settle(
  p_sandbox_id text, p_generation bigint, p_cpu_micros bigint, p_memory_mib_millis bigint, p_peak_memory_bytes bigint,
  p_estimated boolean, p_end_time timestamptz, p_reason text
) RETURNS TABLE (
  outcome text, lifetime_ms bigint, cpu_micros bigint, memory_mib_millis bigint, peak_memory_bytes bigint, cost_nano_usd bigint
) LANGUAGE plpgsql VOLATILE ROWS 1 SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  v_end     timestamptz := date_trunc('milliseconds', p_end_time, 'UTC');
  v_tenant  text;
  v_sandbox sandbox;
  v_hold    hold;
  v_book    record;
  v_lines   record;
BEGIN
  SELECT s.tenant_id INTO v_tenant FROM sandbox s WHERE s.sandbox_id = p_sandbox_id;
  PERFORM pg_advisory_xact_lock_shared(ledger_tenant_key(v_tenant));
  SELECT * INTO v_sandbox FROM sandbox s WHERE s.sandbox_id = p_sandbox_id AND s.generation = p_generation FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'FENCED';
    RETURN NEXT;
    RETURN;
  END IF;
  SELECT * INTO v_hold FROM hold h WHERE h.sandbox_id = p_sandbox_id AND h.state = 'OPEN' FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    outcome := 'ALREADY_ENDED';
  ELSE
    -- Nobody saw the end: it is not taken to be later than what was paid for.
    IF p_estimated THEN
      v_end := least(v_end, v_sandbox.paid_until);
    END IF;
    SELECT * INTO v_book
    FROM ledger_book(v_sandbox, v_end, p_cpu_micros, p_memory_mib_millis, CASE WHEN p_estimated THEN 'ESTIMATED' ELSE 'MEASURED' END);
    SELECT * INTO v_lines FROM ledger_lines(v_hold, v_book.booked_at, v_book.booked, '{}', '{}', 0, false, v_end);
    PERFORM FROM ledger_charge(
      v_lines.items, v_lines.limits, v_lines.starts, v_lines.booked, v_lines.held_before, v_lines.held_after, v_lines.guarded,
      p_sandbox_id, v_end);
    outcome := CASE WHEN v_sandbox.start_time IS NULL THEN 'RELEASED' ELSE 'SETTLED' END;
    v_end := greatest(v_end, v_sandbox.create_time, v_sandbox.start_time, v_book.metered_until);
    UPDATE hold h SET state = outcome, end_time = v_end, end_reason = p_reason WHERE h.hold_id = v_hold.hold_id AND h.state = 'OPEN';
    UPDATE sandbox s
    SET state = CASE WHEN v_sandbox.start_time IS NULL OR p_reason = 'ENGINE_FAILED' THEN 'FAILED' ELSE 'TERMINATED' END,
        end_time = v_end, end_reason = p_reason, metered_until = v_book.metered_until,
        cpu_micros = greatest(s.cpu_micros, p_cpu_micros), memory_mib_millis = greatest(s.memory_mib_millis, p_memory_mib_millis),
        peak_memory_bytes = greatest(s.peak_memory_bytes, p_peak_memory_bytes),
        accounted_cpu_micros = v_book.accounted_cpu_micros, accounted_memory_mib_millis = v_book.accounted_memory_mib_millis,
        exact_cost_nano_usd = v_book.exact_cost_nano_usd, cost_nano_usd = v_book.cost_nano_usd
    WHERE s.sandbox_id = p_sandbox_id
    RETURNING * INTO v_sandbox;
  END IF;
  lifetime_ms := coalesce(ledger_millis(date_trunc('milliseconds', v_sandbox.start_time, 'UTC'), v_sandbox.metered_until), 0);
  cpu_micros := v_sandbox.cpu_micros;
  memory_mib_millis := v_sandbox.memory_mib_millis;
  peak_memory_bytes := v_sandbox.peak_memory_bytes;
  cost_nano_usd := v_sandbox.cost_nano_usd;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ledger_settle IS
  'Ends a sandbox and its hold, once, for every way of ending: meters up to the end, books it, past a limit if need be (recorded), and makes it TERMINATED, or FAILED where the engine failed. outcome: SETTLED; RELEASED (it never started, nothing to book); ALREADY_ENDED (with the figures as booked); FENCED (another generation; nothing changed).';

-- Limits -----------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_set_limit(
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
          FROM ledger_hold_parts(h.tier, h.cpu_cores, h.memory_mib, h.from_time, h.until_time, h.exact_cost_nano_usd) AS p
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

-- Invariants -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_violations() RETURNS TABLE (invariant int, subject text, detail text) LANGUAGE sql STABLE AS $$
  -- 1. Spent and reserved stay within a hard limit, but where an overrun is recorded.
  SELECT 1, format('quota_period %s %s', q.limit_id, q.period_start),
         format('spent %s + reserved %s > amount %s, excess %s, recorded %s', q.spent, q.reserved, q.amount, q.excess, o.recorded)
  FROM quota_period q
  JOIN quota_limit l ON l.limit_id = q.limit_id
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(o.amount), 0) AS recorded FROM quota_overrun o
    WHERE o.limit_id = q.limit_id AND o.period_start = q.period_start
  ) AS o
  WHERE q.excess <> greatest(0, q.spent + q.reserved - q.amount) OR (l.enforcement = 'HARD' AND q.excess > o.recorded)

  -- 2. Spent is the sum of the records; reserved is the sum of the open holds; a hold charges every limit it is in, in full.
  UNION ALL
  SELECT 2, format('quota_period %s %s', q.limit_id, q.period_start), format('spent %s, records %s', q.spent, r.amount)
  FROM quota_period q
  JOIN quota_limit l ON l.limit_id = q.limit_id
  CROSS JOIN LATERAL (SELECT ledger_spent(l, q.period_start, q.period_end) AS amount) AS r
  WHERE q.spent <> r.amount
  UNION ALL
  SELECT 2, format('quota_period %s %s', q.limit_id, q.period_start), format('reserved %s, holds %s', q.reserved, coalesce(r.amount, 0))
  FROM quota_period q
  LEFT JOIN (
    SELECT c.limit_id, c.period_start, sum(c.amount) AS amount
    FROM hold h CROSS JOIN unnest(h.charged_limits, h.charged_periods, h.charged_amounts) AS c (limit_id, period_start, amount)
    WHERE h.state = 'OPEN' GROUP BY c.limit_id, c.period_start
  ) AS r ON r.limit_id = q.limit_id AND r.period_start = q.period_start
  WHERE q.reserved <> coalesce(r.amount, 0)
  UNION ALL
  SELECT 2, format('hold %s limit %s', h.hold_id, l.limit_id), format('should charge %s, charges %s', n.amount, r.amount)
  FROM hold h
  CROSS JOIN LATERAL ledger_limits(h.tenant_id, h.organisation_id, h.user_id, h.conversation_id, h.agent_id) AS l
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN l.resource IN ('ALL_SPEND', h.kind || '_SPEND') THEN h.amount_nano_usd
      WHEN h.kind <> 'SANDBOX' THEN 0
      WHEN l.resource = 'CONCURRENT_SANDBOXES' THEN 1
      WHEN l.resource = 'CONCURRENT_CPU_CORES' THEN h.cpu_cores
      WHEN l.resource = 'CONCURRENT_MEMORY_MIB' THEN h.memory_mib
      ELSE 0 END AS amount
  ) AS n
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.amount), 0) AS amount
    FROM unnest(h.charged_limits, h.charged_amounts) AS c (limit_id, amount) WHERE c.limit_id = l.limit_id
  ) AS r
  WHERE h.state = 'OPEN' AND r.amount <> n.amount

  -- 3. Segments follow each other without a gap from the start to where the sandbox is metered.
  UNION ALL
  SELECT 3, format('sandbox %s', g.sandbox_id), format('a segment starts at %s, the one before ends at %s', g.from_time, g.previous)
  FROM (
    SELECT u.sandbox_id, u.from_time,
           lag(u.to_time, 1, date_trunc('milliseconds', s.start_time, 'UTC')) OVER (PARTITION BY u.sandbox_id ORDER BY u.from_time) AS previous
    FROM usage_segment u JOIN sandbox s ON s.sandbox_id = u.sandbox_id
  ) AS g
  WHERE g.from_time IS DISTINCT FROM g.previous
  UNION ALL
  SELECT 3, format('sandbox %s', s.sandbox_id), format('metered until %s, segments until %s', s.metered_until, r.until)
  FROM sandbox s
  CROSS JOIN LATERAL (SELECT max(u.to_time) AS until FROM usage_segment u WHERE u.sandbox_id = s.sandbox_id) AS r
  WHERE s.metered_until IS DISTINCT FROM r.until

  -- 4. Every amount follows from quantities and price; shares and records add up.
  UNION ALL
  SELECT 4, format('segment %s %s', g.sandbox_id, g.from_time),
         format('exact %s, computed %s, amount %s, computed %s', g.exact_cost_nano_usd, g.exact, g.amount_nano_usd,
           ledger_round(g.until_now) - ledger_round(g.until_now - g.exact_cost_nano_usd))
  FROM (
    SELECT u.sandbox_id, u.from_time, u.to_time, u.exact_cost_nano_usd, u.amount_nano_usd, v.start_time, v.end_time, v.tier,
           ledger_exact_cost(u.lifetime_ms, u.billed_cpu_micros, u.billed_memory_mib_millis,
             v.usd_per_second, v.usd_per_core_second, v.usd_per_gib_second) AS exact,
           sum(u.exact_cost_nano_usd) OVER (PARTITION BY u.sandbox_id ORDER BY u.from_time) AS until_now,
           u.billed_cpu_source, u.billed_cpu_micros, u.billed_memory_source, u.billed_memory_mib_millis, u.lifetime_ms
    FROM usage_segment u LEFT JOIN price_version v ON v.price_version_id = u.price_version_id
  ) AS g
  JOIN sandbox s ON s.sandbox_id = g.sandbox_id
  WHERE g.exact IS DISTINCT FROM g.exact_cost_nano_usd
    OR g.amount_nano_usd <> ledger_round(g.until_now) - ledger_round(g.until_now - g.exact_cost_nano_usd)
    OR g.tier <> s.tier OR g.from_time < g.start_time OR g.to_time > g.end_time
    OR g.billed_cpu_micros > g.lifetime_ms * 1000 * s.cpu_cores OR g.billed_memory_mib_millis > g.lifetime_ms * s.memory_mib
    OR (g.billed_cpu_source = 'ALLOCATED' AND g.billed_cpu_micros <> g.lifetime_ms * 1000 * s.cpu_cores)
    OR (g.billed_memory_source = 'ALLOCATED' AND g.billed_memory_mib_millis <> g.lifetime_ms * s.memory_mib)
  UNION ALL
  SELECT 4, format('segment %s %s', u.sandbox_id, u.from_time),
         format('amount %s, records %s; micros %s, shares %s', u.amount_nano_usd, r.amount, u.lifetime_ms * 1000, r.micros)
  FROM usage_segment u
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.amount_nano_usd), 0) AS amount, coalesce(sum(c.share_micros), 0) AS micros,
           coalesce(bool_or(abs(c.amount_nano_usd - u.amount_nano_usd::numeric * c.share_micros / (u.lifetime_ms * 1000)) >= 1), false) AS unfair
    FROM cost_record c WHERE c.sandbox_id = u.sandbox_id AND c.from_time = u.from_time
  ) AS r
  WHERE r.amount <> u.amount_nano_usd OR r.micros <> u.lifetime_ms * 1000 OR r.unfair
  UNION ALL
  SELECT 4, format('sandbox %s', s.sandbox_id),
         format('cost %s, records %s, exact %s, segments %s', s.cost_nano_usd, c.amount, s.exact_cost_nano_usd, u.exact)
  FROM sandbox s
  CROSS JOIN LATERAL (SELECT coalesce(sum(u.exact_cost_nano_usd), 0) AS exact FROM usage_segment u WHERE u.sandbox_id = s.sandbox_id) AS u
  CROSS JOIN LATERAL (SELECT coalesce(sum(c.amount_nano_usd), 0) AS amount FROM cost_record c WHERE c.sandbox_id = s.sandbox_id) AS c
  WHERE s.exact_cost_nano_usd <> u.exact OR s.cost_nano_usd <> c.amount OR s.cost_nano_usd <> ledger_round(u.exact)

  -- 5. Open holds and live sandboxes match one to one; what ran was settled, what never ran released.
  UNION ALL
  SELECT 5, format('sandbox %s', s.sandbox_id), format('state %s, %s open holds', s.state, r.holds)
  FROM sandbox s
  CROSS JOIN LATERAL (SELECT count(*) AS holds FROM hold h WHERE h.sandbox_id = s.sandbox_id AND h.state = 'OPEN') AS r
  WHERE r.holds <> CASE WHEN s.state IN ('TERMINATED', 'FAILED') THEN 0 ELSE 1 END
  UNION ALL
  SELECT 5, format('hold %s', h.hold_id), format('state %s, sandbox %s started %s', h.state, s.sandbox_id, s.start_time)
  FROM hold h LEFT JOIN sandbox s ON s.sandbox_id = h.sandbox_id
  WHERE h.kind = 'SANDBOX' AND (h.state = 'SETTLED' AND s.start_time IS NULL OR h.state = 'RELEASED' AND s.start_time IS NOT NULL)

  -- 8. Every threshold that was reached has its one event.
  UNION ALL
  SELECT 8, format('quota_period %s %s', q.limit_id, q.period_start), format('spent %s of %s, no event for %s %%', q.spent, q.amount, t.threshold)
  FROM quota_period q
  JOIN quota_limit l ON l.limit_id = q.limit_id
  CROSS JOIN unnest(l.thresholds) AS t (threshold)
  -- A period that was over when the thresholds were set has none of them.
  WHERE q.amount > 0 AND q.spent::numeric * 100 >= q.amount::numeric * t.threshold
    AND (q.period_end IS NULL OR q.period_end > l.update_time)
    AND NOT EXISTS (
      SELECT FROM threshold_event e WHERE e.limit_id = q.limit_id AND e.period_start = q.period_start AND e.threshold = t.threshold)

  -- 9. The audit chains verify.
  UNION ALL
  SELECT 9, format('audit chain %s', t.tenant_id), format('first broken sequence %s', v.first_broken_sequence)
  FROM tenant t CROSS JOIN LATERAL audit_verify(t.tenant_id) AS v
  WHERE v.first_broken_sequence IS NOT NULL
$$;
COMMENT ON FUNCTION ledger_violations IS
  'What breaks the ledger''s invariants 1 to 5, 8 and 9, by their numbers; no row when all is sound. Reads everything.';
