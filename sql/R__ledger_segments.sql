-- Spans of a sandbox's life, what they cost and whose they are. Quantities are integers, prices NUMERIC, so costs are exact until
-- they are rounded, half to even, on the running total of a sandbox: slicing a run never changes its sum.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_pieces(p_tier text, p_paused boolean, p_from timestamptz, p_to timestamptz)
RETURNS TABLE (
  from_time timestamptz, to_time timestamptz, lifetime_ms bigint, price_version_id bigint, basis text,
  usd_per_second numeric, usd_per_core_second numeric, usd_per_gib_second numeric
) LANGUAGE sql STABLE ROWS 2 AS $$
  SELECT piece.from_time, piece.to_time, ledger_millis(piece.from_time, piece.to_time), v.price_version_id, v.basis,
         CASE WHEN p_paused THEN v.paused_usd_per_second ELSE v.usd_per_second END,
         CASE WHEN p_paused THEN v.paused_usd_per_core_second ELSE v.usd_per_core_second END,
         CASE WHEN p_paused THEN v.paused_usd_per_gib_second ELSE v.usd_per_gib_second END
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
  'Splits a span of running or of paused time at quarters of an hour, where every period of every zone begins, and at price changes. Time without a price is left out.';

CREATE OR REPLACE FUNCTION ledger_hold_parts(
  p_tier text, p_cpu_cores int, p_memory_mib int, p_from timestamptz, p_until timestamptz, p_exact_cost_nano_usd numeric,
  p_paused boolean DEFAULT false
) RETURNS TABLE (from_time timestamptz, lifetime_ms bigint, amount_nano_usd bigint) LANGUAGE sql STABLE ROWS 2 AS $$
  SELECT piece.from_time, piece.lifetime_ms,
         ledger_round(p_exact_cost_nano_usd + sum(cost.exact) OVER w)
         - ledger_round(p_exact_cost_nano_usd + sum(cost.exact) OVER w - cost.exact)
         -- What is measured may come to any fraction, so its rounding may fall the other way by one.
         + CASE piece.basis WHEN 'MEASURED' THEN 1 ELSE 0 END
  FROM ledger_pieces(p_tier, p_paused, p_from, p_until) AS piece
  CROSS JOIN LATERAL (
    SELECT ledger_exact_cost(
      piece.lifetime_ms, piece.lifetime_ms * 1000 * p_cpu_cores, piece.lifetime_ms * p_memory_mib,
      piece.usd_per_second, piece.usd_per_core_second, piece.usd_per_gib_second) AS exact
  ) AS cost
  WINDOW w AS (ORDER BY piece.from_time ROWS UNBOUNDED PRECEDING)
$$;
COMMENT ON FUNCTION ledger_hold_parts IS
  'What the full allocation costs over a span of running or of paused time, by piece. The parts are what would be booked, so a settled hold is never too small.';

CREATE OR REPLACE FUNCTION ledger_segments(
  p_sandbox sandbox, p_paused boolean, p_to timestamptz, p_cpu_micros bigint, p_memory_mib_millis bigint
) RETURNS TABLE (
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
  FOR v_piece IN SELECT * FROM ledger_pieces(p_sandbox.tier, p_paused, v_from, p_to) LOOP
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
  'Computes, without writing, the segments of a sandbox from where it was last metered, having run or been paused since, to a time, given its cumulative usage (null: not measured), and the running totals after each.';

CREATE OR REPLACE FUNCTION ledger_shares(p_sandbox_id text, p_paused boolean, p_from timestamptz, p_to timestamptz, p_amount_nano_usd bigint)
RETURNS TABLE (execution_id text, share_micros bigint, amount_nano_usd bigint) LANGUAGE sql STABLE ROWS 3 AS $$
  WITH ran AS (
    SELECT e.execution_id, greatest(e.start_time, p_from) AS from_time, least(e.end_time, p_to) AS to_time
    FROM execution e
    -- While the sandbox is paused nothing of it runs.
    WHERE NOT p_paused AND e.sandbox_id = p_sandbox_id AND e.start_time < p_to
      AND coalesce(e.end_time, 'infinity'::timestamptz) > p_from AND (e.end_time IS NULL OR e.end_time > e.start_time)
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
  'Divides a segment and its amount between the executions that ran in it and idle time (null), which all of a paused one is: n at once share equally, and all rows add up to the whole.';

CREATE OR REPLACE FUNCTION ledger_book(
  p_sandbox sandbox, p_paused boolean, p_to timestamptz, p_cpu_micros bigint, p_memory_mib_millis bigint, p_quality text,
  OUT booked_at timestamptz[], OUT booked bigint[], OUT metered_until timestamptz, OUT accounted_cpu_micros bigint,
  OUT accounted_memory_mib_millis bigint, OUT exact_cost_nano_usd numeric, OUT cost_nano_usd bigint
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  v_state   text := CASE WHEN p_paused THEN 'PAUSED' ELSE 'RUNNING' END;
  v_segment record;
BEGIN
  booked_at := '{}';
  booked := '{}';
  metered_until := p_sandbox.metered_until;
  accounted_cpu_micros := p_sandbox.accounted_cpu_micros;
  accounted_memory_mib_millis := p_sandbox.accounted_memory_mib_millis;
  exact_cost_nano_usd := p_sandbox.exact_cost_nano_usd;
  cost_nano_usd := p_sandbox.cost_nano_usd;
  FOR v_segment IN SELECT * FROM ledger_segments(p_sandbox, p_paused, p_to, p_cpu_micros, p_memory_mib_millis) LOOP
    INSERT INTO usage_segment (
      sandbox_id, from_time, to_time, tenant_id, price_version_id, state, quality, lifetime_ms, cpu_micros, memory_mib_millis,
      billed_cpu_micros, billed_cpu_source, billed_memory_mib_millis, billed_memory_source, exact_cost_nano_usd, amount_nano_usd)
    VALUES (
      p_sandbox.sandbox_id, v_segment.from_time, v_segment.to_time, p_sandbox.tenant_id, v_segment.price_version_id, v_state, p_quality,
      v_segment.lifetime_ms, v_segment.cpu_micros, v_segment.memory_mib_millis, v_segment.billed_cpu_micros,
      v_segment.billed_cpu_source, v_segment.billed_memory_mib_millis, v_segment.billed_memory_source,
      v_segment.exact_cost_nano_usd, v_segment.amount_nano_usd);
    INSERT INTO cost_record (
      kind, spend, tenant_id, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id,
      sandbox_id, execution_id, from_time, to_time, tier, basis, price_version_id, state, quality, share_micros, amount_nano_usd)
    SELECT
      'USAGE', 'SANDBOX', p_sandbox.tenant_id, p_sandbox.organisation_id, p_sandbox.user_id, p_sandbox.conversation_id, p_sandbox.path,
      p_sandbox.agent_id, p_sandbox.task_id, p_sandbox.correlation_id, p_sandbox.workflow_id, p_sandbox.sandbox_id,
      s.execution_id, v_segment.from_time, v_segment.to_time, p_sandbox.tier, v_segment.basis, v_segment.price_version_id,
      v_state, p_quality, s.share_micros, s.amount_nano_usd
    FROM ledger_shares(p_sandbox.sandbox_id, p_paused, v_segment.from_time, v_segment.to_time, v_segment.amount_nano_usd) AS s;
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
  'Writes the segments and cost records of a locked sandbox, which ran or was paused since the last ones, up to a time; the caller charges the counters and updates the sandbox with what it returns.';

CREATE OR REPLACE FUNCTION ledger_execution_cost(p_execution_id text, p_now timestamptz, p_cpu_micros bigint)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_run    record;
  v_price  record;
  v_booked bigint := 0;
  v_open   numeric := 0;
  v_paused bigint := 0;
BEGIN
  SELECT e.sandbox_id, e.start_time, least(e.end_time, p_now) AS to_time, greatest(e.start_time, s.metered_until) AS from_time,
         s.tier, s.cpu_cores, s.memory_mib, h.hold_id IS NOT NULL AS runs
  INTO STRICT v_run
  FROM execution e
  JOIN sandbox s USING (sandbox_id)
  LEFT JOIN hold h ON h.sandbox_id = s.sandbox_id AND h.state = 'OPEN' AND NOT h.paused
  WHERE e.execution_id = p_execution_id;
  IF v_run.from_time > v_run.start_time THEN
    -- A segment is no longer than an hour; the bound leaves out the months before.
    SELECT coalesce(sum(c.amount_nano_usd), 0) INTO v_booked
    FROM cost_record c
    WHERE c.execution_id = p_execution_id AND c.kind = 'USAGE' AND c.from_time > v_run.start_time - interval '1 hour';
    SELECT coalesce(sum(ledger_micros(greatest(u.from_time, v_run.start_time), u.to_time)), 0) INTO v_paused
    FROM usage_segment u
    WHERE u.sandbox_id = v_run.sandbox_id AND u.span && tstzrange(v_run.start_time, v_run.from_time) AND u.state = 'PAUSED';
  END IF;
  IF v_run.runs AND v_run.from_time < v_run.to_time THEN
    FOR v_price IN
      SELECT greatest(v.start_time, v_run.from_time) AS from_time, least(v.end_time, v_run.to_time) AS to_time, v.*
      FROM price_version v
      WHERE v.tier = v_run.tier AND v.start_time < v_run.to_time AND (v.end_time IS NULL OR v.end_time > v_run.from_time)
    LOOP
      -- nano-USD = USD * 10^9; a microsecond is 10^-6 s, a MiB-microsecond 10^-6 / 1024 GiB s. By measurement an
      -- execution's own processor time is known, its part of the memory is not.
      v_open := v_open
        + ledger_share_micros(v_run.sandbox_id, p_execution_id, v_price.from_time, v_price.to_time)
          * CASE v_price.basis WHEN 'MEASURED' THEN v_price.usd_per_second * 1000
            ELSE v_price.usd_per_second * 1000 + v_price.usd_per_core_second * v_run.cpu_cores * 1000
              + v_price.usd_per_gib_second * v_run.memory_mib * 0.9765625 END
        + CASE v_price.basis WHEN 'MEASURED' THEN
            v_price.usd_per_core_second * 1000 * coalesce(p_cpu_micros, 0)
            * ledger_micros(v_price.from_time, v_price.to_time) / (ledger_micros(v_run.start_time, v_run.to_time) - v_paused)
          ELSE 0 END;
    END LOOP;
  END IF;
  RETURN v_booked + ledger_round(v_open);
END
$$;
COMMENT ON FUNCTION ledger_execution_cost IS
  'Nano-USD of an execution so far: what is booked, and its share of the running time since then. By allocation that is what will be booked, but for rounding; by measurement, with the processor time given, memory is left out.';
