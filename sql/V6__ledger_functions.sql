-- The protocol of the ledger: admit, extend, settle; limits and prices. Each call is one round trip.
--
-- How they stay right under concurrency (READ COMMITTED): every function is VOLATILE plpgsql, so each of its statements
-- sees what was committed before it; it first locks, then runs set statements. Locks are taken in one order everywhere:
-- the tenant's advisory lock (shared; a change of limits takes it alone), the sandbox, its hold, the counters by limit
-- and period. Every counter update repeats its guard in the WHERE, and a CHECK stands behind it.
--
-- Time is always a parameter, cut to whole milliseconds. Quantities are integers, prices NUMERIC, so costs are exact
-- until they are rounded, half to even, on the running total of a sandbox: slicing a run never changes its sum.

-- Arithmetic -----------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_round(value numeric) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (CASE WHEN abs(value - trunc(value)) = 0.5 THEN 2 * round(value / 2) ELSE round(value) END)::bigint;
COMMENT ON FUNCTION ledger_round IS 'Rounds to whole nano-USD, half to even.';

CREATE FUNCTION ledger_millis(from_time timestamptz, to_time timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (extract(epoch FROM to_time - from_time) * 1000)::bigint;
COMMENT ON FUNCTION ledger_millis IS 'Milliseconds between two times that are whole milliseconds.';

CREATE FUNCTION ledger_micros(from_time timestamptz, to_time timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (extract(epoch FROM to_time - from_time) * 1000000)::bigint;
COMMENT ON FUNCTION ledger_micros IS 'Microseconds between two times.';

CREATE FUNCTION ledger_exact_cost(
  lifetime_ms bigint, cpu_micros bigint, memory_mib_millis bigint,
  usd_per_second numeric, usd_per_core_second numeric, usd_per_gib_second numeric
) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- nano-USD = USD * 10^9; a millisecond is 10^-3 s, a microsecond 10^-6 s, a MiB-millisecond 10^-3 / 1024 GiB s.
RETURN usd_per_second * lifetime_ms * 1000000
  + usd_per_core_second * cpu_micros * 1000
  + usd_per_gib_second * memory_mib_millis * 976.5625;
COMMENT ON FUNCTION ledger_exact_cost IS 'Unrounded nano-USD of quantities at a price.';

CREATE FUNCTION ledger_period_start(period text, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE period WHEN 'LIFETIME' THEN '1970-01-01 00:00:00+00'::timestamptz ELSE date_trunc(period, at, 'UTC') END;
COMMENT ON FUNCTION ledger_period_start IS 'Start of the period, in UTC, that holds a time; the epoch for LIFETIME.';

CREATE FUNCTION ledger_period_end(period text, period_start timestamptz) RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE period
  WHEN 'HOUR' THEN period_start + interval '1 hour'
  WHEN 'DAY' THEN period_start + interval '24 hours'
  WHEN 'WEEK' THEN period_start + interval '168 hours'
  WHEN 'MONTH' THEN (period_start AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'
END;
COMMENT ON FUNCTION ledger_period_end IS 'End of the period that starts then; null for LIFETIME.';

CREATE FUNCTION ledger_tenant_key(tenant_id text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN hashtextextended('sandkeeper.ledger.' || tenant_id, 0);
COMMENT ON FUNCTION ledger_tenant_key IS
  'Key of a tenant''s advisory lock: shared by whatever charges its limits, exclusive for a change of which limits there are. A fair queue, and no lock on a hot row.';

-- Pieces: spans split where a price or a period may change ---------------------------------------------------------------

CREATE FUNCTION ledger_pieces(p_tier text, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
  from_time timestamptz, to_time timestamptz, lifetime_ms bigint, price_version_id bigint, basis text,
  usd_per_second numeric, usd_per_core_second numeric, usd_per_gib_second numeric
) LANGUAGE sql STABLE ROWS 2 AS $$
  SELECT piece.from_time, piece.to_time, ledger_millis(piece.from_time, piece.to_time), v.price_version_id, v.basis,
         v.usd_per_second, v.usd_per_core_second, v.usd_per_gib_second
  FROM generate_series(date_bin('1 hour', p_from, '1970-01-01 00:00:00+00'), p_to, interval '1 hour') AS hour (start)
  JOIN price_version v ON v.tier = p_tier
    AND v.start_time < least(hour.start + interval '1 hour', p_to)
    AND (v.end_time IS NULL OR v.end_time > greatest(hour.start, p_from))
  CROSS JOIN LATERAL (
    SELECT greatest(hour.start, v.start_time, p_from) AS from_time, least(hour.start + interval '1 hour', v.end_time, p_to) AS to_time
  ) AS piece
  WHERE piece.from_time < piece.to_time
  ORDER BY piece.from_time
$$;
COMMENT ON FUNCTION ledger_pieces IS
  'Splits a span at full UTC hours, where every period begins, and at price changes. Time without a price is left out.';

CREATE FUNCTION ledger_hold_parts(
  p_tier text, p_cpu_cores int, p_memory_mib int, p_from timestamptz, p_until timestamptz, p_exact_cost_nano_usd numeric
) RETURNS TABLE (from_time timestamptz, lifetime_ms bigint, amount_nano_usd bigint) LANGUAGE sql STABLE ROWS 2 AS $$
  SELECT piece.from_time, piece.lifetime_ms,
         ledger_round(p_exact_cost_nano_usd + sum(cost.exact) OVER w)
         - ledger_round(p_exact_cost_nano_usd + sum(cost.exact) OVER w - cost.exact)
         -- What is measured may come to any fraction, so its rounding may fall the other way by one.
         + CASE piece.basis WHEN 'MEASURED' THEN 1 ELSE 0 END
  FROM ledger_pieces(p_tier, p_from, p_until) AS piece
  CROSS JOIN LATERAL (
    SELECT ledger_exact_cost(
      piece.lifetime_ms, piece.lifetime_ms * 1000 * p_cpu_cores, piece.lifetime_ms * p_memory_mib,
      piece.usd_per_second, piece.usd_per_core_second, piece.usd_per_gib_second) AS exact
  ) AS cost
  WINDOW w AS (ORDER BY piece.from_time ROWS UNBOUNDED PRECEDING)
$$;
COMMENT ON FUNCTION ledger_hold_parts IS
  'What the full allocation costs over a span, by piece. The parts are what would be booked, so a settled hold is never too small.';

CREATE FUNCTION ledger_segments(p_sandbox sandbox, p_to timestamptz, p_cpu_micros bigint, p_memory_mib_millis bigint)
RETURNS TABLE (
  from_time timestamptz, to_time timestamptz, lifetime_ms bigint, price_version_id bigint, basis text,
  cpu_micros bigint, memory_mib_millis bigint,
  billed_cpu_micros bigint, billed_cpu_source text, billed_memory_mib_millis bigint, billed_memory_source text,
  exact_cost_nano_usd numeric, amount_nano_usd bigint,
  accounted_cpu_micros bigint, accounted_memory_mib_millis bigint, total_exact_cost_nano_usd numeric, total_cost_nano_usd bigint
) LANGUAGE plpgsql STABLE ROWS 2 AS $$
#variable_conflict use_variable
DECLARE
  v_from        timestamptz := date_trunc('milliseconds', coalesce(p_sandbox.metered_until, p_sandbox.start_time), 'UTC');
  v_total_ms    bigint;
  v_elapsed_ms  bigint := 0;
  -- Null without a reading. A counter that goes backwards counts as standing still.
  v_cpu_used    bigint := CASE WHEN p_cpu_micros IS NOT NULL THEN greatest(p_cpu_micros - coalesce(p_sandbox.cpu_micros, 0), 0) END;
  v_memory_used bigint := CASE WHEN p_memory_mib_millis IS NOT NULL
    THEN greatest(p_memory_mib_millis - coalesce(p_sandbox.memory_mib_millis, 0), 0) END;
  v_cpu_seen    bigint := 0;
  v_memory_seen bigint := 0;
  v_allocated   bigint;
  v_measured    bigint;
  v_piece       record;
BEGIN
  IF v_from IS NULL OR p_to <= v_from THEN
    RETURN;
  END IF;
  v_total_ms := ledger_millis(v_from, p_to);
  accounted_cpu_micros := p_sandbox.accounted_cpu_micros;
  accounted_memory_mib_millis := p_sandbox.accounted_memory_mib_millis;
  total_exact_cost_nano_usd := p_sandbox.exact_cost_nano_usd;
  total_cost_nano_usd := p_sandbox.cost_nano_usd;
  FOR v_piece IN SELECT * FROM ledger_pieces(p_sandbox.tier, v_from, p_to) LOOP
    from_time := v_piece.from_time;
    to_time := v_piece.to_time;
    lifetime_ms := v_piece.lifetime_ms;
    price_version_id := v_piece.price_version_id;
    basis := v_piece.basis;
    v_elapsed_ms := v_elapsed_ms + lifetime_ms;

    -- One reading at the end of several pieces is spread over them evenly in time.
    cpu_micros := div(v_cpu_used::numeric * v_elapsed_ms, v_total_ms)::bigint - v_cpu_seen;
    memory_mib_millis := div(v_memory_used::numeric * v_elapsed_ms, v_total_ms)::bigint - v_memory_seen;

    -- By measurement: never more than the allocation, which is what was held; what a late reading puts above it waits
    -- for the next segment. By allocation: what is then accounted for is not billed again when a reading comes.
    v_allocated := lifetime_ms * 1000 * p_sandbox.cpu_cores;
    IF cpu_micros IS NULL THEN
      billed_cpu_source := 'ALLOCATED';
      billed_cpu_micros := v_allocated;
      accounted_cpu_micros := accounted_cpu_micros + v_allocated;
    ELSE
      v_cpu_seen := v_cpu_seen + cpu_micros;
      v_measured := coalesce(p_sandbox.cpu_micros, 0) + v_cpu_seen;
      billed_cpu_source := basis;
      IF basis = 'MEASURED' THEN
        billed_cpu_micros := greatest(least(v_measured - accounted_cpu_micros, v_allocated), 0);
        accounted_cpu_micros := accounted_cpu_micros + billed_cpu_micros;
      ELSE
        billed_cpu_micros := v_allocated;
        accounted_cpu_micros := greatest(accounted_cpu_micros, v_measured);
      END IF;
    END IF;
    v_allocated := lifetime_ms * p_sandbox.memory_mib;
    IF memory_mib_millis IS NULL THEN
      billed_memory_source := 'ALLOCATED';
      billed_memory_mib_millis := v_allocated;
      accounted_memory_mib_millis := accounted_memory_mib_millis + v_allocated;
    ELSE
      v_memory_seen := v_memory_seen + memory_mib_millis;
      v_measured := coalesce(p_sandbox.memory_mib_millis, 0) + v_memory_seen;
      billed_memory_source := basis;
      IF basis = 'MEASURED' THEN
        billed_memory_mib_millis := greatest(least(v_measured - accounted_memory_mib_millis, v_allocated), 0);
        accounted_memory_mib_millis := accounted_memory_mib_millis + billed_memory_mib_millis;
      ELSE
        billed_memory_mib_millis := v_allocated;
        accounted_memory_mib_millis := greatest(accounted_memory_mib_millis, v_measured);
      END IF;
    END IF;

    exact_cost_nano_usd := ledger_exact_cost(
      lifetime_ms, billed_cpu_micros, billed_memory_mib_millis,
      v_piece.usd_per_second, v_piece.usd_per_core_second, v_piece.usd_per_gib_second);
    total_exact_cost_nano_usd := total_exact_cost_nano_usd + exact_cost_nano_usd;
    amount_nano_usd := ledger_round(total_exact_cost_nano_usd) - total_cost_nano_usd;
    total_cost_nano_usd := total_cost_nano_usd + amount_nano_usd;
    RETURN NEXT;
  END LOOP;
  IF v_elapsed_ms <> v_total_ms THEN
    RAISE EXCEPTION 'no price for the tier % at all times from % to %', p_sandbox.tier, v_from, p_to;
  END IF;
END
$$;
COMMENT ON FUNCTION ledger_segments IS
  'Computes, without writing, the segments of a sandbox from where it was last metered to a time, given its cumulative usage (null: not measured), and the running totals after each.';

CREATE FUNCTION ledger_shares(p_sandbox_id text, p_from timestamptz, p_to timestamptz, p_amount_nano_usd bigint)
RETURNS TABLE (execution_id text, share_micros bigint, amount_nano_usd bigint) LANGUAGE sql STABLE ROWS 3 AS $$
  WITH ran AS (
    SELECT e.execution_id, greatest(e.start_time, p_from) AS from_time, least(e.end_time, p_to) AS to_time
    FROM execution e
    WHERE e.sandbox_id = p_sandbox_id AND e.start_time < p_to AND coalesce(e.end_time, 'infinity'::timestamptz) > p_from
      AND (e.end_time IS NULL OR e.end_time > e.start_time)
  ), edge AS (
    SELECT from_time AS at, 1 AS step FROM ran
    UNION ALL SELECT to_time, -1 FROM ran
    UNION ALL VALUES (p_from, 0), (p_to, 0)
  ), stretch AS (
    -- Between two edges the number of executions stands still.
    SELECT at, sum(sum(step)) OVER (ORDER BY at) AS running, ledger_micros(at, lead(at) OVER (ORDER BY at)) AS micros
    FROM edge GROUP BY at
  ), clock AS (
    -- One execution's part of all busy time before each edge: each shares by the difference between its end and start.
    SELECT at, running, micros,
           coalesce(sum(micros / nullif(running, 0)) OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS busy
    FROM stretch
  ), weight AS (
    SELECT ran.execution_id, b.busy - a.busy AS micros
    FROM ran JOIN clock a ON a.at = ran.from_time JOIN clock b ON b.at = ran.to_time
    UNION ALL
    SELECT NULL, coalesce(sum(clock.micros) FILTER (WHERE clock.running = 0), 0) FROM clock
  ), share AS (
    -- Largest remainder, first for time, then for money; equal remainders go by execution, idle last.
    SELECT w.execution_id,
           trunc(w.micros)::bigint
           + CASE WHEN row_number() OVER (ORDER BY w.micros - trunc(w.micros) DESC, w.execution_id)
               <= ledger_micros(p_from, p_to) - sum(trunc(w.micros)) OVER () THEN 1 ELSE 0 END AS micros
    FROM weight w
  ), part AS (
    SELECT s.execution_id, s.micros,
           div(p_amount_nano_usd::numeric * s.micros, ledger_micros(p_from, p_to)) AS whole,
           mod(p_amount_nano_usd::numeric * s.micros, ledger_micros(p_from, p_to)) AS remainder
    FROM share s
  ), bill AS (
    SELECT p.execution_id, p.micros,
           p.whole::bigint
           + CASE WHEN row_number() OVER (ORDER BY p.remainder DESC, p.execution_id)
               <= p_amount_nano_usd - sum(p.whole) OVER () THEN 1 ELSE 0 END AS amount
    FROM part p
  )
  SELECT bill.execution_id, bill.micros, bill.amount FROM bill WHERE bill.micros > 0
$$;
COMMENT ON FUNCTION ledger_shares IS
  'Divides a segment and its amount between the executions that ran in it and idle time (null): n at once share equally, and all rows add up to the whole.';

-- Counters ---------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_open_periods(p_limit_ids bigint[], p_period_starts timestamptz[], p_booked bigint[], p_now timestamptz)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  -- The records so far are none in a period that has just begun; in one that began before its limit was set they count,
  -- but for those that the caller has just written and is about to charge.
  WITH opened AS (
    INSERT INTO quota_period (limit_id, period_start, period_end, limit_nano_usd, spent_nano_usd, excess_nano_usd)
    SELECT l.limit_id, k.period_start, ledger_period_end(l.period, k.period_start), l.amount_nano_usd, r.spent,
           greatest(r.spent - l.amount_nano_usd, 0)
    FROM unnest(p_limit_ids, p_period_starts, p_booked) AS k (limit_id, period_start, booked)
    JOIN quota_limit l ON l.limit_id = k.limit_id
    CROSS JOIN LATERAL (
      SELECT coalesce(sum(c.amount_nano_usd), 0)::bigint - k.booked AS spent
      FROM cost_record c
      WHERE c.tenant_id = l.tenant_id AND c.from_time >= k.period_start
        AND c.from_time < coalesce(ledger_period_end(l.period, k.period_start), 'infinity'::timestamptz)
    ) AS r
    WHERE NOT EXISTS (SELECT FROM quota_period q WHERE q.limit_id = k.limit_id AND q.period_start = k.period_start)
    ORDER BY k.limit_id, k.period_start
    ON CONFLICT DO NOTHING
    RETURNING limit_id, period_start, excess_nano_usd
  )
  INSERT INTO quota_overrun (limit_id, period_start, reason, amount_nano_usd, record_time)
  SELECT limit_id, period_start, 'CREATED', excess_nano_usd, p_now FROM opened WHERE excess_nano_usd > 0;
END
$$;
COMMENT ON FUNCTION ledger_open_periods IS 'Makes the counters of limits and periods that have none yet; p_booked is what cost records just written in this transaction hold of each, which is left out.';

CREATE FUNCTION ledger_changes(
  p_tenant_id text, p_hold_id bigint, p_booked_at timestamptz[], p_booked bigint[], p_held_at timestamptz[], p_held bigint[]
) RETURNS TABLE (limit_id bigint, period_start timestamptz, booked bigint, held_before bigint, held_after bigint)
LANGUAGE sql STABLE ROWS 3 AS $$
  SELECT c.limit_id, c.period_start, sum(c.booked)::bigint, sum(c.held_before)::bigint, sum(c.held_after)::bigint
  FROM (
    SELECT l.limit_id, ledger_period_start(l.period, b.at) AS period_start, b.amount AS booked, 0 AS held_before, 0 AS held_after
    FROM quota_limit l CROSS JOIN unnest(p_booked_at, p_booked) AS b (at, amount) WHERE l.tenant_id = p_tenant_id
    UNION ALL
    SELECT l.limit_id, ledger_period_start(l.period, h.at), 0, 0, h.amount
    FROM quota_limit l CROSS JOIN unnest(p_held_at, p_held) AS h (at, amount) WHERE l.tenant_id = p_tenant_id
    UNION ALL
    SELECT h.limit_id, h.period_start, 0, h.amount_nano_usd, 0 FROM hold_limit h WHERE h.hold_id = p_hold_id
  ) AS c
  GROUP BY c.limit_id, c.period_start
$$;
COMMENT ON FUNCTION ledger_changes IS
  'What booking amounts and replacing what a hold reserves does to each counter of a tenant.';

CREATE FUNCTION ledger_charge(
  p_tenant_id text, p_sandbox_id text, p_hold_id bigint, p_booked_at timestamptz[], p_booked bigint[],
  p_held_at timestamptz[], p_held bigint[], p_must_book boolean, p_now timestamptz
) RETURNS TABLE (limit_id bigint, period text, remaining_nano_usd bigint, reset_time timestamptz)
LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_limit  bigint[];
  v_start  timestamptz[];
  v_booked bigint[];
  v_before bigint[];
  v_after  bigint[];
  v_count  bigint;
BEGIN
  SELECT array_agg(k.limit_id ORDER BY k.limit_id, k.period_start), array_agg(k.period_start ORDER BY k.limit_id, k.period_start),
         array_agg(k.booked ORDER BY k.limit_id, k.period_start), array_agg(k.held_before ORDER BY k.limit_id, k.period_start),
         array_agg(k.held_after ORDER BY k.limit_id, k.period_start)
  INTO v_limit, v_start, v_booked, v_before, v_after
  FROM ledger_changes(p_tenant_id, p_hold_id, p_booked_at, p_booked, p_held_at, p_held) AS k;
  IF v_limit IS NULL THEN
    RETURN;
  END IF;

  -- Missing rows are made before any is locked, so that two makers cannot wait for each other.
  SELECT count(*) INTO v_count
  FROM unnest(v_limit, v_start) AS k (limit_id, period_start)
  JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start;
  IF v_count < cardinality(v_limit) THEN
    PERFORM ledger_open_periods(v_limit, v_start, v_booked, p_now);
  END IF;
  PERFORM FROM quota_period q
  JOIN unnest(v_limit, v_start) AS k (limit_id, period_start) ON q.limit_id = k.limit_id AND q.period_start = k.period_start
  ORDER BY q.limit_id, q.period_start
  FOR NO KEY UPDATE OF q;

  IF NOT p_must_book THEN
    -- Of several limits that refuse, the one that refuses longest is named.
    RETURN QUERY
      SELECT l.limit_id, l.period,
             greatest(q.limit_nano_usd - q.spent_nano_usd - k.booked - q.reserved_nano_usd + k.held_before, 0), q.period_end
      FROM unnest(v_limit, v_start, v_booked, v_before, v_after) AS k (limit_id, period_start, booked, held_before, held_after)
      JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
      JOIN quota_limit l ON l.limit_id = k.limit_id
      WHERE k.held_after > 0 AND k.booked - k.held_before + k.held_after > 0
        AND q.spent_nano_usd + k.booked + q.reserved_nano_usd - k.held_before + k.held_after > q.limit_nano_usd
      ORDER BY q.period_end DESC NULLS FIRST, l.limit_id
      LIMIT 1;
    IF FOUND THEN
      RETURN;
    END IF;
  END IF;

  WITH charged AS (
    UPDATE quota_period q
    SET spent_nano_usd = q.spent_nano_usd + k.booked,
        reserved_nano_usd = q.reserved_nano_usd - k.held_before + k.held_after,
        -- What was booked may go past the limit; what is newly held never makes the excess grow.
        excess_nano_usd = greatest(0, least(
          q.spent_nano_usd + k.booked + q.reserved_nano_usd - k.held_before + k.held_after - q.limit_nano_usd,
          greatest(q.excess_nano_usd, q.spent_nano_usd + k.booked + q.reserved_nano_usd - k.held_before - q.limit_nano_usd)))
    FROM unnest(v_limit, v_start, v_booked, v_before, v_after) AS k (limit_id, period_start, booked, held_before, held_after)
    WHERE q.limit_id = k.limit_id AND q.period_start = k.period_start
      AND (p_must_book OR k.held_after = 0 OR k.booked - k.held_before + k.held_after <= 0
        OR q.spent_nano_usd + k.booked + q.reserved_nano_usd - k.held_before + k.held_after <= q.limit_nano_usd)
    RETURNING new.limit_id, new.period_start, new.excess_nano_usd - old.excess_nano_usd AS growth
  ), overrun AS (
    INSERT INTO quota_overrun (limit_id, period_start, reason, sandbox_id, amount_nano_usd, record_time)
    SELECT limit_id, period_start, 'BOOKED', p_sandbox_id, growth, p_now FROM charged WHERE growth > 0
  )
  SELECT count(*) INTO v_count FROM charged;
  IF v_count <> cardinality(v_limit) THEN
    RAISE EXCEPTION 'ledger_charge: % of % counters charged', v_count, cardinality(v_limit);
  END IF;

  DELETE FROM hold_limit h
  USING unnest(v_limit, v_start, v_before, v_after) AS k (limit_id, period_start, held_before, held_after)
  WHERE k.held_after = 0 AND k.held_before > 0
    AND h.hold_id = p_hold_id AND h.limit_id = k.limit_id AND h.period_start = k.period_start;
  INSERT INTO hold_limit AS h (hold_id, limit_id, period_start, amount_nano_usd)
  SELECT p_hold_id, k.limit_id, k.period_start, k.held_after
  FROM unnest(v_limit, v_start, v_after) AS k (limit_id, period_start, held_after)
  WHERE k.held_after > 0
  ON CONFLICT ON CONSTRAINT hold_limit_pk DO UPDATE SET amount_nano_usd = excluded.amount_nano_usd
    WHERE h.amount_nano_usd <> excluded.amount_nano_usd;
END
$$;
COMMENT ON FUNCTION ledger_charge IS
  'Charges amounts whose cost records have just been written and replaces what a hold reserves, on every limit of a tenant, all or nothing. Returns no row when done; else changes nothing and returns the limit that refused. With p_must_book it never refuses: what already happened is booked, and an overrun recorded.';

-- Admit, extend, settle ----------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_admit(
  p_tenant_id text, p_request_id uuid, p_sandbox_id text, p_tier text, p_cpu_cores int, p_memory_mib int,
  p_lease_ms bigint, p_stop_time_ms bigint, p_now timestamptz
) RETURNS TABLE (
  outcome text, hold_id bigint, sandbox_id text, paid_until timestamptz, amount_nano_usd bigint,
  limit_id bigint, period text, remaining_nano_usd bigint, reset_time timestamptz
) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_now    timestamptz := date_trunc('milliseconds', p_now, 'UTC');
  v_until  timestamptz := v_now + make_interval(secs => (p_lease_ms + p_stop_time_ms) / 1000.0);
  v_held_at timestamptz[];
  v_held   bigint[];
  v_priced bigint;
  v_hold   hold;
  v_miss   record;
BEGIN
  PERFORM pg_advisory_xact_lock_shared(ledger_tenant_key(p_tenant_id));
  SELECT array_agg(p.from_time), array_agg(p.amount_nano_usd), sum(p.lifetime_ms)
  INTO v_held_at, v_held, v_priced
  FROM ledger_hold_parts(p_tier, p_cpu_cores, p_memory_mib, v_now, v_until, 0) AS p;

  -- An equal request that is being admitted elsewhere makes this wait for its outcome.
  INSERT INTO hold (
    tenant_id, request_id, sandbox_id, state, tier, cpu_cores, memory_mib, stop_time_ms, from_time, until_time,
    amount_nano_usd, create_time)
  VALUES (
    p_tenant_id, p_request_id, p_sandbox_id, 'OPEN', p_tier, p_cpu_cores, p_memory_mib, p_stop_time_ms, v_now, v_until,
    coalesce((SELECT sum(amount) FROM unnest(v_held) AS amount), 0), v_now)
  ON CONFLICT ON CONSTRAINT hold_request_id_uq DO NOTHING
  RETURNING * INTO v_hold;
  IF NOT FOUND THEN
    SELECT * INTO v_hold FROM hold h WHERE h.tenant_id = p_tenant_id AND h.request_id = p_request_id;
    outcome := 'REPLAYED';
    hold_id := v_hold.hold_id;
    sandbox_id := v_hold.sandbox_id;
    RETURN NEXT;
    RETURN;
  END IF;
  sandbox_id := p_sandbox_id;

  IF v_priced IS DISTINCT FROM p_lease_ms + p_stop_time_ms THEN
    outcome := 'NO_PRICE';
  ELSE
    SELECT * INTO v_miss
    FROM ledger_charge(p_tenant_id, p_sandbox_id, v_hold.hold_id, '{}', '{}', v_held_at, v_held, false, v_now);
    IF FOUND THEN
      outcome := 'DENIED';
      limit_id := v_miss.limit_id;
      period := v_miss.period;
      remaining_nano_usd := v_miss.remaining_nano_usd;
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
  'Sets money aside for a new sandbox''s first lease and the time to stop, on every limit of the tenant. outcome: GRANTED; REPLAYED (the request was admitted before, sandbox_id says for what); DENIED (by the limit named; nothing changed); NO_PRICE (nothing changed). The caller inserts the sandbox in the same transaction.';

CREATE FUNCTION ledger_book(
  p_sandbox sandbox, p_to timestamptz, p_cpu_micros bigint, p_memory_mib_millis bigint, p_quality text,
  OUT booked_at timestamptz[], OUT booked bigint[], OUT metered_until timestamptz, OUT accounted_cpu_micros bigint,
  OUT accounted_memory_mib_millis bigint, OUT exact_cost_nano_usd numeric, OUT cost_nano_usd bigint
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_segment record;
BEGIN
  booked_at := '{}';
  booked := '{}';
  metered_until := p_sandbox.metered_until;
  accounted_cpu_micros := p_sandbox.accounted_cpu_micros;
  accounted_memory_mib_millis := p_sandbox.accounted_memory_mib_millis;
  exact_cost_nano_usd := p_sandbox.exact_cost_nano_usd;
  cost_nano_usd := p_sandbox.cost_nano_usd;
  FOR v_segment IN SELECT * FROM ledger_segments(p_sandbox, p_to, p_cpu_micros, p_memory_mib_millis) LOOP
    INSERT INTO usage_segment (
      sandbox_id, from_time, to_time, tenant_id, price_version_id, quality, lifetime_ms, cpu_micros, memory_mib_millis,
      billed_cpu_micros, billed_cpu_source, billed_memory_mib_millis, billed_memory_source, exact_cost_nano_usd, amount_nano_usd)
    VALUES (
      p_sandbox.sandbox_id, v_segment.from_time, v_segment.to_time, p_sandbox.tenant_id, v_segment.price_version_id, p_quality,
      v_segment.lifetime_ms, v_segment.cpu_micros, v_segment.memory_mib_millis, v_segment.billed_cpu_micros,
      v_segment.billed_cpu_source, v_segment.billed_memory_mib_millis, v_segment.billed_memory_source,
      v_segment.exact_cost_nano_usd, v_segment.amount_nano_usd);
    INSERT INTO cost_record (
      kind, tenant_id, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id,
      sandbox_id, execution_id, from_time, to_time, tier, basis, price_version_id, quality, share_micros, amount_nano_usd)
    SELECT
      'USAGE', p_sandbox.tenant_id, p_sandbox.organisation_id, p_sandbox.user_id, p_sandbox.conversation_id, p_sandbox.path,
      p_sandbox.agent_id, p_sandbox.task_id, p_sandbox.correlation_id, p_sandbox.workflow_id, p_sandbox.sandbox_id,
      s.execution_id, v_segment.from_time, v_segment.to_time, p_sandbox.tier, v_segment.basis, v_segment.price_version_id,
      p_quality, s.share_micros, s.amount_nano_usd
    FROM ledger_shares(p_sandbox.sandbox_id, v_segment.from_time, v_segment.to_time, v_segment.amount_nano_usd) AS s;
    booked_at := booked_at || v_segment.from_time;
    booked := booked || v_segment.amount_nano_usd;
    metered_until := v_segment.to_time;
    accounted_cpu_micros := v_segment.accounted_cpu_micros;
    accounted_memory_mib_millis := v_segment.accounted_memory_mib_millis;
    exact_cost_nano_usd := v_segment.total_exact_cost_nano_usd;
    cost_nano_usd := v_segment.total_cost_nano_usd;
  END LOOP;
END
$$;
COMMENT ON FUNCTION ledger_book IS
  'Writes the segments and cost records of a locked sandbox up to a time; the caller charges the counters and updates the sandbox with what it returns.';

CREATE FUNCTION ledger_fits(
  p_tenant_id text, p_hold_id bigint, p_booked_at timestamptz[], p_booked bigint[], p_sandbox sandbox,
  p_from timestamptz, p_until timestamptz, p_exact_cost_nano_usd numeric
) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (
    SELECT
    FROM (
      SELECT coalesce(array_agg(p.from_time), '{}') AS held_at, coalesce(array_agg(p.amount_nano_usd), '{}') AS held
      FROM ledger_hold_parts(p_sandbox.tier, p_sandbox.cpu_cores, p_sandbox.memory_mib, p_from, p_until, p_exact_cost_nano_usd) AS p
    ) AS parts
    CROSS JOIN LATERAL ledger_changes(p_tenant_id, p_hold_id, p_booked_at, p_booked, parts.held_at, parts.held) AS k
    JOIN quota_period q ON q.limit_id = k.limit_id AND q.period_start = k.period_start
    WHERE k.held_after > 0 AND k.booked - k.held_before + k.held_after > 0
      AND q.spent_nano_usd + k.booked + q.reserved_nano_usd - k.held_before + k.held_after > q.limit_nano_usd)
$$;
COMMENT ON FUNCTION ledger_fits IS 'Whether a hold over this span would be granted by ledger_charge; the counters are locked by the caller.';

CREATE FUNCTION ledger_extend(
  p_sandbox_id text, p_generation bigint, p_cpu_micros bigint, p_memory_mib_millis bigint, p_peak_memory_bytes bigint,
  p_lease_ms bigint, p_now timestamptz
) RETURNS TABLE (
  outcome text, paid_until timestamptz, limit_id bigint, period text, remaining_nano_usd bigint, reset_time timestamptz
) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_now     timestamptz := date_trunc('milliseconds', p_now, 'UTC');
  v_tenant  text;
  v_sandbox sandbox;
  v_hold    hold;
  v_book    record;
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
  SELECT * INTO v_miss
  FROM ledger_charge(
    v_tenant, p_sandbox_id, v_hold.hold_id, v_book.booked_at, v_book.booked,
    coalesce(v_held_at, '{}'), coalesce(v_held, '{}'), false, v_now);
  IF NOT FOUND THEN
    outcome := 'RENEWED';
  ELSE
    limit_id := v_miss.limit_id;
    period := v_miss.period;
    remaining_nano_usd := v_miss.remaining_nano_usd;
    reset_time := v_miss.reset_time;
    -- Take what is left: the longest lease, to the millisecond, that every limit can pay. The counters are locked, so
    -- each trial sees the same figures. What is paid already stays paid, even where a limit was lowered below it.
    outcome := 'REFUSED';
    WHILE v_low < v_high LOOP
      v_middle := v_low + make_interval(secs => ceil(ledger_millis(v_low, v_high) / 2.0) / 1000.0);
      IF ledger_fits(v_tenant, v_hold.hold_id, v_book.booked_at, v_book.booked, v_sandbox, v_now, v_middle + v_stop, v_book.exact_cost_nano_usd) THEN
        v_low := v_middle;
        outcome := 'SHORTENED';
      ELSE
        v_high := v_middle - interval '1 millisecond';
      END IF;
    END LOOP;
    SELECT array_agg(p.from_time), array_agg(p.amount_nano_usd) INTO v_held_at, v_held
    FROM ledger_hold_parts(
      v_sandbox.tier, v_sandbox.cpu_cores, v_sandbox.memory_mib, v_now, v_high + v_stop, v_book.exact_cost_nano_usd) AS p;
    PERFORM FROM ledger_charge(
      v_tenant, p_sandbox_id, v_hold.hold_id, v_book.booked_at, v_book.booked,
      coalesce(v_held_at, '{}'), coalesce(v_held, '{}'), outcome = 'REFUSED', v_now);
    IF FOUND THEN
      RAISE EXCEPTION 'ledger_extend: the shortened lease of % was refused', p_sandbox_id;
    END IF;
  END IF;

  UPDATE hold h
  SET from_time = v_now, until_time = greatest(v_now, v_high + v_stop), exact_cost_nano_usd = v_book.exact_cost_nano_usd,
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
) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_end     timestamptz := date_trunc('milliseconds', p_end_time, 'UTC');
  v_tenant  text;
  v_sandbox sandbox;
  v_hold    hold;
  v_book    record;
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
    PERFORM FROM ledger_charge(v_tenant, p_sandbox_id, v_hold.hold_id, v_book.booked_at, v_book.booked, '{}', '{}', true, v_end);
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

CREATE FUNCTION ledger_execution_cost(p_execution_id text, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_sandbox sandbox;
  -- Up, so that an execution within one millisecond is not lost.
  v_now     timestamptz := date_trunc('milliseconds', p_now + interval '999 microseconds', 'UTC');
  v_booked  bigint;
  v_open    bigint;
BEGIN
  SELECT s.* INTO v_sandbox FROM sandbox s JOIN execution e ON e.sandbox_id = s.sandbox_id WHERE e.execution_id = p_execution_id;
  SELECT sum(c.amount_nano_usd) INTO v_booked FROM cost_record c WHERE c.execution_id = p_execution_id;
  IF EXISTS (SELECT FROM hold h WHERE h.sandbox_id = v_sandbox.sandbox_id AND h.state = 'OPEN') THEN
    SELECT sum(s.amount_nano_usd) INTO v_open
    FROM ledger_segments(v_sandbox, v_now, v_sandbox.cpu_micros, v_sandbox.memory_mib_millis) AS g
    CROSS JOIN LATERAL ledger_shares(v_sandbox.sandbox_id, g.from_time, g.to_time, g.amount_nano_usd) AS s
    WHERE s.execution_id = p_execution_id;
  END IF;
  RETURN coalesce(v_booked, 0) + coalesce(v_open, 0);
END
$$;
COMMENT ON FUNCTION ledger_execution_cost IS
  'Nano-USD of an execution so far: what is booked and its share of what would be booked if its sandbox were metered now with its last reading.';

-- Limits and prices ------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_set_limit(p_tenant_id text, p_period text, p_amount_nano_usd bigint, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_limit   bigint;
  v_created boolean;
  v_starts  timestamptz[];
BEGIN
  PERFORM pg_advisory_xact_lock(ledger_tenant_key(p_tenant_id));
  INSERT INTO quota_limit AS l (tenant_id, period, amount_nano_usd, create_time, update_time)
  VALUES (p_tenant_id, p_period, p_amount_nano_usd, p_now, p_now)
  ON CONFLICT ON CONSTRAINT quota_limit_scope_uq
  DO UPDATE SET amount_nano_usd = excluded.amount_nano_usd, update_time = excluded.update_time
  RETURNING l.limit_id, old.limit_id IS NULL INTO v_limit, v_created;

  IF v_created THEN
    -- The period's records so far count, and what is held already is taken over.
    SELECT array_agg(DISTINCT ledger_period_start(p_period, t.at)) INTO v_starts
    FROM (
      SELECT p_now AS at
      UNION ALL
      SELECT part.from_time
      FROM hold h
      CROSS JOIN LATERAL ledger_hold_parts(h.tier, h.cpu_cores, h.memory_mib, h.from_time, h.until_time, h.exact_cost_nano_usd) AS part
      WHERE h.tenant_id = p_tenant_id AND h.state = 'OPEN'
    ) AS t;
    PERFORM ledger_open_periods(
      array_fill(v_limit, ARRAY[cardinality(v_starts)]), v_starts, array_fill(0::bigint, ARRAY[cardinality(v_starts)]), p_now);
    INSERT INTO hold_limit (hold_id, limit_id, period_start, amount_nano_usd)
    SELECT h.hold_id, v_limit, ledger_period_start(p_period, part.from_time), sum(part.amount_nano_usd)
    FROM hold h
    CROSS JOIN LATERAL ledger_hold_parts(h.tier, h.cpu_cores, h.memory_mib, h.from_time, h.until_time, h.exact_cost_nano_usd) AS part
    WHERE h.tenant_id = p_tenant_id AND h.state = 'OPEN'
    GROUP BY h.hold_id, ledger_period_start(p_period, part.from_time)
    HAVING sum(part.amount_nano_usd) > 0;
  END IF;

  WITH changed AS (
    UPDATE quota_period q
    SET limit_nano_usd = p_amount_nano_usd,
        reserved_nano_usd = r.reserved,
        excess_nano_usd = greatest(0, q.spent_nano_usd + r.reserved - p_amount_nano_usd)
    FROM (
      SELECT p.limit_id, p.period_start,
             (SELECT coalesce(sum(h.amount_nano_usd), 0)::bigint FROM hold_limit h
              WHERE h.limit_id = p.limit_id AND h.period_start = p.period_start) AS reserved
      FROM quota_period p WHERE p.limit_id = v_limit
    ) AS r
    WHERE q.limit_id = r.limit_id AND q.period_start = r.period_start
      -- A period that is over keeps the amount it had.
      AND (v_created OR q.period_end IS NULL OR q.period_end > p_now)
    RETURNING new.limit_id, new.period_start, new.excess_nano_usd - old.excess_nano_usd AS growth
  )
  INSERT INTO quota_overrun (limit_id, period_start, reason, amount_nano_usd, record_time)
  SELECT c.limit_id, c.period_start, CASE WHEN v_created THEN 'CREATED' ELSE 'LOWERED' END, c.growth, p_now
  FROM changed c WHERE c.growth > 0;
  RETURN v_limit;
END
$$;
COMMENT ON FUNCTION ledger_set_limit IS
  'Sets a tenant''s limit for a period and returns its id. A new one starts from the period''s records and takes over the open holds; one lowered below what is used admits nothing new, which is recorded.';

CREATE FUNCTION ledger_delete_limit(p_limit_id bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(ledger_tenant_key(l.tenant_id)) FROM quota_limit l WHERE l.limit_id = p_limit_id;
  DELETE FROM quota_limit l WHERE l.limit_id = p_limit_id;
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION ledger_delete_limit IS
  'Deletes a limit with its counters and what holds charged to them; what was booked stays booked. False when there is none.';

CREATE FUNCTION price_create(
  p_tier text, p_basis text, p_usd_per_second numeric, p_usd_per_core_second numeric, p_usd_per_gib_second numeric,
  p_start_time timestamptz, p_lead_ms bigint, p_now timestamptz
) RETURNS TABLE (outcome text, price_version_id bigint, earliest_start_time timestamptz)
LANGUAGE plpgsql VOLATILE ROWS 1 SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_start timestamptz := date_trunc('milliseconds', p_start_time, 'UTC');
  v_last  price_version;
BEGIN
  LOCK TABLE price_version IN SHARE ROW EXCLUSIVE MODE;
  SELECT * INTO v_last FROM price_version v WHERE v.tier = p_tier AND v.end_time IS NULL;
  earliest_start_time := date_trunc('milliseconds', p_now, 'UTC');
  IF FOUND THEN
    -- Whatever is held already was computed with the price known then.
    earliest_start_time := earliest_start_time + make_interval(secs => (p_lead_ms + 1) / 1000.0);
  END IF;
  IF v_start < earliest_start_time THEN
    outcome := 'TOO_EARLY';
  ELSIF v_start <= v_last.start_time THEN
    outcome := 'NOT_LAST';
  ELSE
    outcome := 'CREATED';
    UPDATE price_version v SET end_time = v_start WHERE v.price_version_id = v_last.price_version_id;
    INSERT INTO price_version AS v (tier, basis, usd_per_second, usd_per_core_second, usd_per_gib_second, start_time)
    VALUES (p_tier, p_basis, p_usd_per_second, p_usd_per_core_second, p_usd_per_gib_second, v_start)
    RETURNING v.price_version_id INTO price_version_id;
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION price_create IS
  'Adds a tier''s next price and closes the one before it. outcome: CREATED; TOO_EARLY (it must start later than p_lead_ms from now, a first price not before now); NOT_LAST (a price starts then or later). The only way in: it runs as its owner.';

-- Invariants -------------------------------------------------------------------------------------------------------------

CREATE FUNCTION ledger_violations() RETURNS TABLE (invariant int, subject text, detail text) LANGUAGE sql STABLE AS $$
  -- 1. Spent and reserved stay within the limit, but where an overrun is recorded.
  SELECT 1, format('quota_period %s %s', q.limit_id, q.period_start),
         format('spent %s + reserved %s > limit %s, excess %s, recorded %s', q.spent_nano_usd, q.reserved_nano_usd, q.limit_nano_usd,
           q.excess_nano_usd, o.recorded)
  FROM quota_period q
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(o.amount_nano_usd), 0) AS recorded FROM quota_overrun o
    WHERE o.limit_id = q.limit_id AND o.period_start = q.period_start
  ) AS o
  WHERE q.excess_nano_usd <> greatest(0, q.spent_nano_usd + q.reserved_nano_usd - q.limit_nano_usd) OR q.excess_nano_usd > o.recorded

  -- 2. Spent is the sum of the cost records; reserved is the sum of the open holds; a hold charges every limit in full.
  UNION ALL
  SELECT 2, format('quota_period %s %s', q.limit_id, q.period_start), format('spent %s, records %s', q.spent_nano_usd, r.amount)
  FROM quota_period q
  JOIN quota_limit l ON l.limit_id = q.limit_id
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.amount_nano_usd), 0) AS amount FROM cost_record c
    WHERE c.tenant_id = l.tenant_id AND c.from_time >= q.period_start
      AND c.from_time < coalesce(q.period_end, 'infinity'::timestamptz)
  ) AS r
  WHERE q.spent_nano_usd <> r.amount
  UNION ALL
  SELECT 2, format('quota_period %s %s', q.limit_id, q.period_start), format('reserved %s, holds %s', q.reserved_nano_usd, r.amount)
  FROM quota_period q
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(hl.amount_nano_usd), 0) AS amount FROM hold_limit hl JOIN hold h ON h.hold_id = hl.hold_id AND h.state = 'OPEN'
    WHERE hl.limit_id = q.limit_id AND hl.period_start = q.period_start
  ) AS r
  WHERE q.reserved_nano_usd <> r.amount
  UNION ALL
  SELECT 2, format('hold %s limit %s', h.hold_id, l.limit_id), format('hold %s, charged %s', h.amount_nano_usd, r.amount)
  FROM hold h
  JOIN quota_limit l ON l.tenant_id = h.tenant_id
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(hl.amount_nano_usd), 0) AS amount FROM hold_limit hl WHERE hl.hold_id = h.hold_id AND hl.limit_id = l.limit_id
  ) AS r
  WHERE r.amount <> CASE h.state WHEN 'OPEN' THEN h.amount_nano_usd ELSE 0 END

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
  WHERE (h.state = 'SETTLED' AND s.start_time IS NULL) OR (h.state = 'RELEASED' AND s.start_time IS NOT NULL)

  -- 9. The audit chains verify.
  UNION ALL
  SELECT 9, format('audit chain %s', t.tenant_id), format('first broken sequence %s', v.first_broken_sequence)
  FROM tenant t CROSS JOIN LATERAL audit_verify(t.tenant_id) AS v
  WHERE v.first_broken_sequence IS NOT NULL
$$;
COMMENT ON FUNCTION ledger_violations IS
  'What breaks the ledger''s invariants 1 to 5 and 9, by their numbers; no row when all is sound. Reads everything.';

REVOKE EXECUTE ON FUNCTION price_create FROM PUBLIC;
GRANT EXECUTE ON FUNCTION price_create TO sandkeeper_server;
