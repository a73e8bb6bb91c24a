-- Paused sandboxes: nothing of them runs, their memory stays, and their time has its own price.
--
-- A segment is in one state: pausing and resuming meter first. In which state a sandbox is billed stands in its open hold,
-- as one that is being ended is STOPPING, whichever it was before.

-- What paused time costs --------------------------------------------------------------------------------------------------

ALTER TABLE price_version
  ADD COLUMN paused_usd_per_second      numeric(24,18),
  ADD COLUMN paused_usd_per_core_second numeric(24,18),
  ADD COLUMN paused_usd_per_gib_second  numeric(24,18);
ALTER TABLE price_version DISABLE TRIGGER price_version_guard;
UPDATE price_version
SET paused_usd_per_second = 0, paused_usd_per_core_second = 0, paused_usd_per_gib_second = usd_per_gib_second;
ALTER TABLE price_version ENABLE TRIGGER price_version_guard;
ALTER TABLE price_version
  ALTER COLUMN paused_usd_per_second SET NOT NULL,
  ALTER COLUMN paused_usd_per_core_second SET NOT NULL,
  ALTER COLUMN paused_usd_per_gib_second SET NOT NULL,
  -- What is held for running thus always pays for being paused.
  ADD CONSTRAINT price_version_paused_usd_check CHECK (
    paused_usd_per_second BETWEEN 0 AND usd_per_second AND paused_usd_per_core_second BETWEEN 0 AND usd_per_core_second
    AND paused_usd_per_gib_second BETWEEN 0 AND usd_per_gib_second);
COMMENT ON COLUMN price_version.paused_usd_per_second IS 'USD per second of being paused, 0 to usd_per_second.';
COMMENT ON COLUMN price_version.paused_usd_per_core_second IS 'USD per core and second of being paused, 0 to usd_per_core_second.';
COMMENT ON COLUMN price_version.paused_usd_per_gib_second IS 'USD per GiB of memory and second of being paused, 0 to usd_per_gib_second; what is frozen stays in memory.';

CREATE OR REPLACE FUNCTION price_version_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.end_time IS NULL AND NEW.end_time IS NOT NULL
     AND to_jsonb(NEW) - '{end_time,valid}'::text[] = to_jsonb(OLD) - '{end_time,valid}'::text[] THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a price version never changes' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'price_version_guard';
END
$$;

DROP FUNCTION price_create(text, text, numeric, numeric, numeric, timestamptz, bigint, timestamptz);
CREATE FUNCTION price_create(
  p_tier text, p_basis text, p_usd_per_second numeric, p_usd_per_core_second numeric, p_usd_per_gib_second numeric,
  p_paused_usd_per_second numeric, p_paused_usd_per_core_second numeric, p_paused_usd_per_gib_second numeric,
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
    INSERT INTO price_version AS v (
      tier, basis, usd_per_second, usd_per_core_second, usd_per_gib_second,
      paused_usd_per_second, paused_usd_per_core_second, paused_usd_per_gib_second, start_time)
    VALUES (
      p_tier, p_basis, p_usd_per_second, p_usd_per_core_second, p_usd_per_gib_second,
      p_paused_usd_per_second, p_paused_usd_per_core_second, p_paused_usd_per_gib_second, v_start)
    RETURNING v.price_version_id INTO price_version_id;
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION price_create IS
  'Adds a tier''s next price and closes the one before it. outcome: CREATED; TOO_EARLY (it must start later than p_lead_ms from now, a first price not before now); NOT_LAST (a price starts then or later). The only way in: it runs as its owner.';
REVOKE EXECUTE ON FUNCTION price_create FROM PUBLIC;
GRANT EXECUTE ON FUNCTION price_create TO sandkeeper_server;

-- States -----------------------------------------------------------------------------------------------------------------

ALTER TABLE sandbox
  ADD COLUMN on_exhaustion text NOT NULL DEFAULT 'TERMINATE',
  ADD CONSTRAINT sandbox_on_exhaustion_check CHECK (on_exhaustion IN ('TERMINATE', 'PAUSE'));
COMMENT ON COLUMN sandbox.on_exhaustion IS
  'What happens when a limit pays for no more running time: TERMINATE, or PAUSE for as long as paused time can be paid. From the create request.';

ALTER TABLE hold
  ADD COLUMN paused boolean NOT NULL DEFAULT false,
  ADD CONSTRAINT hold_paused_check CHECK (NOT paused OR kind = 'SANDBOX');
COMMENT ON COLUMN hold.paused IS
  'Whether it is computed as of a paused sandbox: at the rates of paused time, and without its cores. Says in which state the sandbox is billed from from_time on.';

ALTER TABLE usage_segment ADD COLUMN state text NOT NULL DEFAULT 'RUNNING';
ALTER TABLE usage_segment
  ALTER COLUMN state DROP DEFAULT,
  ADD CONSTRAINT usage_segment_state_check CHECK (state IN ('RUNNING', 'PAUSED'));
COMMENT ON COLUMN usage_segment.state IS 'RUNNING or PAUSED throughout: which rates of the price it was computed with.';
COMMENT ON TABLE usage_segment IS
  'What a sandbox used in a span of its life; contiguous; split at quarters of an hour (where every period begins), at price changes and where it was paused or resumed. Append-only.';

ALTER TABLE cost_record ADD COLUMN state text DEFAULT 'RUNNING';
ALTER TABLE cost_record ALTER COLUMN state DROP DEFAULT;
UPDATE cost_record SET state = NULL WHERE spend <> 'SANDBOX';
ALTER TABLE cost_record ADD CONSTRAINT cost_record_state_check CHECK (
  (state IS NOT NULL) = (spend = 'SANDBOX') AND (state IN ('RUNNING', 'PAUSED') OR state IS NULL));
COMMENT ON COLUMN cost_record.state IS 'RUNNING or PAUSED, as the segment; null for LLM.';

-- The protocol ------------------------------------------------------------------------------------------------------------

DROP FUNCTION ledger_extend(text, bigint, bigint, bigint, bigint, bigint, timestamptz);
DROP FUNCTION ledger_book(sandbox, timestamptz, bigint, bigint, text);
DROP FUNCTION ledger_shares(text, timestamptz, timestamptz, bigint);
DROP FUNCTION ledger_segments(sandbox, timestamptz, bigint, bigint);
DROP FUNCTION ledger_hold_parts(text, int, int, timestamptz, timestamptz, numeric);
DROP FUNCTION ledger_pieces(text, timestamptz, timestamptz);

CREATE FUNCTION ledger_pieces(p_tier text, p_paused boolean, p_from timestamptz, p_to timestamptz)
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

CREATE FUNCTION ledger_hold_parts(
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

CREATE FUNCTION ledger_segments(
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

CREATE FUNCTION ledger_shares(p_sandbox_id text, p_paused boolean, p_from timestamptz, p_to timestamptz, p_amount_nano_usd bigint)
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

CREATE FUNCTION ledger_book(
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
      kind, tenant_id, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id,
      sandbox_id, execution_id, from_time, to_time, tier, basis, price_version_id, state, quality, share_micros, amount_nano_usd)
    SELECT
      'USAGE', p_sandbox.tenant_id, p_sandbox.organisation_id, p_sandbox.user_id, p_sandbox.conversation_id, p_sandbox.path,
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

CREATE OR REPLACE FUNCTION ledger_fits(
  p_hold hold, p_booked_at timestamptz[], p_booked bigint[], p_tier text, p_from timestamptz, p_until timestamptz, p_exact_cost_nano_usd numeric
) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT NOT EXISTS (
    SELECT
    FROM (
      SELECT coalesce(array_agg(p.from_time), '{}') AS held_at, coalesce(array_agg(p.amount_nano_usd), '{}') AS held
      FROM ledger_hold_parts(p_tier, p_hold.cpu_cores, p_hold.memory_mib, p_from, p_until, p_exact_cost_nano_usd, p_hold.paused) AS p
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

CREATE FUNCTION ledger_renew(
  p_sandbox_id text, p_generation bigint, p_cpu_micros bigint, p_memory_mib_millis bigint, p_peak_memory_bytes bigint,
  p_lease_ms bigint, p_now timestamptz, p_state text
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
  v_resumes boolean;
  v_stop    interval;
  v_low     timestamptz;
  v_high    timestamptz;
  v_middle  timestamptz;
BEGIN
  SELECT s.tenant_id INTO v_tenant FROM sandbox s WHERE s.sandbox_id = p_sandbox_id;
  PERFORM pg_advisory_xact_lock_shared(ledger_tenant_key(v_tenant));
  SELECT * INTO v_sandbox FROM sandbox s
  WHERE s.sandbox_id = p_sandbox_id AND s.generation = p_generation AND s.state IN ('RUNNING', 'PAUSED') FOR NO KEY UPDATE;
  IF FOUND THEN
    SELECT * INTO v_hold FROM hold h WHERE h.sandbox_id = p_sandbox_id AND h.state = 'OPEN' FOR NO KEY UPDATE;
  END IF;
  IF NOT FOUND THEN
    outcome := 'FENCED';
    RETURN NEXT;
    RETURN;
  END IF;

  v_now := greatest(v_now, v_sandbox.metered_until);
  SELECT * INTO v_book FROM ledger_book(v_sandbox, v_hold.paused, v_now, p_cpu_micros, p_memory_mib_millis, 'MEASURED');
  v_resumes := v_hold.paused AND p_state = 'RUNNING';
  v_hold.paused := coalesce(p_state, v_sandbox.state) = 'PAUSED';
  v_stop := make_interval(secs => v_hold.stop_time_ms / 1000.0);
  v_low := v_sandbox.paid_until;
  v_high := greatest(
    v_low, least(v_now + make_interval(secs => p_lease_ms / 1000.0), date_trunc('milliseconds', v_sandbox.expire_time, 'UTC')));

  SELECT array_agg(p.from_time), array_agg(p.amount_nano_usd) INTO v_held_at, v_held
  FROM ledger_hold_parts(
    v_sandbox.tier, v_sandbox.cpu_cores, v_sandbox.memory_mib, v_now, v_high + v_stop, v_book.exact_cost_nano_usd, v_hold.paused) AS p;
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
    IF v_resumes THEN
      -- An admission: all of it or nothing.
      v_hold.paused := true;
      v_high := v_low;
    END IF;
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
      v_sandbox.tier, v_sandbox.cpu_cores, v_sandbox.memory_mib, v_now, v_high + v_stop, v_book.exact_cost_nano_usd, v_hold.paused) AS p;
    SELECT * INTO v_lines FROM ledger_lines(v_hold, v_book.booked_at, v_book.booked, v_held_at, v_held, 0, true, v_now);
    PERFORM FROM ledger_charge(
      v_lines.items, v_lines.limits, v_lines.starts, v_lines.booked, v_lines.held_before, v_lines.held_after,
      CASE outcome WHEN 'REFUSED' THEN array_fill(false, ARRAY[coalesce(cardinality(v_lines.limits), 0)]) ELSE v_lines.guarded END,
      p_sandbox_id, v_now);
    IF FOUND THEN
      RAISE EXCEPTION 'ledger_renew: the shortened lease of % was refused', p_sandbox_id;
    END IF;
  END IF;

  v_hold := ledger_charged(v_hold, v_lines.limits, v_lines.starts, v_lines.held_after);
  UPDATE hold h
  SET charged_limits = v_hold.charged_limits, charged_periods = v_hold.charged_periods, charged_amounts = v_hold.charged_amounts,
      from_time = v_now, until_time = greatest(v_now, v_high + v_stop), exact_cost_nano_usd = v_book.exact_cost_nano_usd,
      amount_nano_usd = coalesce((SELECT sum(amount) FROM unnest(v_held) AS amount), 0), paused = v_hold.paused
  WHERE h.hold_id = v_hold.hold_id;
  UPDATE sandbox s
  SET state = CASE WHEN v_hold.paused THEN 'PAUSED' ELSE 'RUNNING' END, paid_until = v_high, metered_until = v_book.metered_until,
      cpu_micros = greatest(s.cpu_micros, p_cpu_micros), memory_mib_millis = greatest(s.memory_mib_millis, p_memory_mib_millis),
      peak_memory_bytes = greatest(s.peak_memory_bytes, p_peak_memory_bytes),
      accounted_cpu_micros = v_book.accounted_cpu_micros, accounted_memory_mib_millis = v_book.accounted_memory_mib_millis,
      exact_cost_nano_usd = v_book.exact_cost_nano_usd, cost_nano_usd = v_book.cost_nano_usd
  WHERE s.sandbox_id = p_sandbox_id;
  paid_until := v_high;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ledger_renew IS
  'Meters a sandbox up to now, in the state it was in, and renews its lease in the state p_state, never past its expiry. p_state: PAUSED or RUNNING, to pause or to resume it, or the state it is in; null for as it is. outcome: RENEWED; SHORTENED (the limit named pays for no more); REFUSED (paid_until stays as it was; who was to be paused is, who was to be resumed stays paused); FENCED (neither running nor paused, or another generation; nothing changed).';

CREATE OR REPLACE FUNCTION ledger_settle(
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
    FROM ledger_book(v_sandbox, v_hold.paused, v_end, p_cpu_micros, p_memory_mib_millis, CASE WHEN p_estimated THEN 'ESTIMATED' ELSE 'MEASURED' END);
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
    SELECT coalesce(sum(c.amount_nano_usd), 0) INTO v_booked FROM cost_record c WHERE c.execution_id = p_execution_id;
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

CREATE OR REPLACE FUNCTION ledger_violations() RETURNS TABLE (invariant int, subject text, detail text) LANGUAGE sql STABLE AS $$
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
      WHEN l.resource = 'CONCURRENT_CPU_CORES' THEN CASE WHEN h.paused THEN 0 ELSE h.cpu_cores END
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
             CASE u.state WHEN 'PAUSED' THEN v.paused_usd_per_second ELSE v.usd_per_second END,
             CASE u.state WHEN 'PAUSED' THEN v.paused_usd_per_core_second ELSE v.usd_per_core_second END,
             CASE u.state WHEN 'PAUSED' THEN v.paused_usd_per_gib_second ELSE v.usd_per_gib_second END) AS exact,
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
         format('%s, amount %s, records %s; micros %s, shares %s', u.state, u.amount_nano_usd, r.amount, u.lifetime_ms * 1000, r.micros)
  FROM usage_segment u
  CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.amount_nano_usd), 0) AS amount, coalesce(sum(c.share_micros), 0) AS micros,
           coalesce(bool_or(abs(c.amount_nano_usd - u.amount_nano_usd::numeric * c.share_micros / (u.lifetime_ms * 1000)) >= 1), false) AS unfair,
           coalesce(bool_or(c.state <> u.state OR u.state = 'PAUSED' AND c.execution_id IS NOT NULL), false) AS misplaced
    FROM cost_record c WHERE c.sandbox_id = u.sandbox_id AND c.from_time = u.from_time
  ) AS r
  WHERE r.amount <> u.amount_nano_usd OR r.micros <> u.lifetime_ms * 1000 OR r.unfair OR r.misplaced
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

  UNION ALL
  SELECT 5, format('hold %s', h.hold_id), format('paused %s, sandbox %s', h.paused, s.state)
  FROM hold h JOIN sandbox s ON s.sandbox_id = h.sandbox_id
  WHERE h.state = 'OPEN' AND (s.state = 'PAUSED' AND NOT h.paused OR s.state IN ('PENDING', 'RUNNING') AND h.paused)

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
