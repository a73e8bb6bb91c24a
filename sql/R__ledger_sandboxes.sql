-- The protocol for sandboxes: admit, renew, settle. Each call is one round trip.
--
-- How it stays right under concurrency (READ COMMITTED): every function is VOLATILE plpgsql, so each of its statements sees what
-- was committed before it; it first locks, then runs set statements. Locks are taken in one order everywhere: the tenant's
-- advisory lock (shared; a change of limits takes it alone), the sandbox, its hold, the engine's advisory lock where its places
-- are bounded, the counters by limit and period. Every
-- counter update repeats its guard in the WHERE, and a CHECK stands behind it. Time is always a parameter, cut to whole
-- milliseconds. Plans are made once, and by the indexes: to make those of a call anew takes longer than the call.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_admit(
  p_tenant_id text, p_organisation_id text, p_user_id text, p_conversation_id text, p_agent_id text,
  p_request_id uuid, p_sandbox_id text, p_tier text, p_engine text, p_engine_capacity int, p_cpu_cores int, p_memory_mib int,
  p_lease_ms bigint, p_stop_time_ms bigint, p_now timestamptz
) RETURNS TABLE (
  outcome text, hold_id bigint, sandbox_id text, paid_until timestamptz, amount_nano_usd bigint,
  limit_id bigint, scope text, scope_id text, resource text, period text, remaining bigint, needed bigint, reset_time timestamptz,
  occupied int
) LANGUAGE plpgsql VOLATILE ROWS 1 SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
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
    outcome := CASE WHEN v_hold.kind <> 'SANDBOX' THEN 'OTHER_KIND' WHEN v_hold.end_time <= ledger_closed_until() THEN 'GONE' ELSE 'REPLAYED' END;
    hold_id := v_hold.hold_id;
    sandbox_id := v_hold.sandbox_id;
    RETURN NEXT;
    RETURN;
  END IF;
  sandbox_id := p_sandbox_id;

  IF p_engine_capacity IS NOT NULL THEN
    occupied := engine_occupied(p_engine);
  END IF;
  IF occupied >= p_engine_capacity THEN
    outcome := 'ENGINE_FULL';
  ELSIF v_priced <> p_lease_ms + p_stop_time_ms THEN
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
  'Admits a new sandbox: sets money aside for its first lease and the time to stop, and takes its place, on every limit of every scope it is in, or on none. outcome: GRANTED; REPLAYED (the request was admitted before, sandbox_id says for what); OTHER_KIND (the request id was used for another kind of spend); GONE (it was used for a sandbox that ended in a month that is closed); DENIED (by the limit named; nothing changed); ENGINE_FULL (occupied of p_engine_capacity places of the engine are taken; nothing changed); NO_PRICE (nothing changed). p_engine_capacity: null for no bound. The caller inserts the sandbox in the same transaction.';

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
    -- Apart, so that each is found by its key.
    CROSS JOIN LATERAL (
      SELECT p.spent, p.reserved, p.amount
      FROM quota_period p JOIN quota_limit l ON l.limit_id = p.limit_id AND l.enforcement = 'HARD'
      WHERE p.limit_id = k.limit_id AND p.period_start = k.period_start OFFSET 0
    ) AS q
    WHERE k.guarded AND k.booked - k.held_before + k.held_after > 0
      AND q.spent + k.booked + q.reserved - k.held_before + k.held_after > q.amount)
$$;
COMMENT ON FUNCTION ledger_fits IS 'Whether a hold over this span would be granted by ledger_charge; the counters are locked by the caller.';

CREATE OR REPLACE FUNCTION ledger_renew(
  p_sandbox_id text, p_generation bigint, p_cpu_micros bigint, p_memory_mib_millis bigint, p_peak_memory_bytes bigint,
  p_lease_ms bigint, p_now timestamptz, p_state text, p_engine_capacity int
) RETURNS TABLE (
  outcome text, paid_until timestamptz, limit_id bigint, scope text, scope_id text, resource text, period text, remaining bigint, needed bigint,
  reset_time timestamptz, occupied int
) LANGUAGE plpgsql VOLATILE ROWS 1 SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
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

  IF v_hold.paused AND p_state = 'RUNNING' AND p_engine_capacity IS NOT NULL THEN
    occupied := engine_occupied(v_sandbox.engine);
    IF occupied >= p_engine_capacity THEN
      outcome := 'ENGINE_FULL';
      RETURN NEXT;
      RETURN;
    END IF;
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
  'Meters a sandbox up to now, in the state it was in, and renews its lease in the state p_state, never past its expiry. p_state: PAUSED or RUNNING, to pause or to resume it, or the state it is in; null for as it is. outcome: RENEWED; SHORTENED (the limit named pays for no more); REFUSED (paid_until stays as it was; who was to be paused is, who was to be resumed stays paused); ENGINE_FULL (who was to be resumed stays paused, as occupied of p_engine_capacity places of its engine are taken; nothing changed); FENCED (neither running nor paused, or another generation; nothing changed).';

CREATE OR REPLACE FUNCTION ledger_settle(
  p_sandbox_id text, p_generation bigint, p_cpu_micros bigint, p_memory_mib_millis bigint, p_peak_memory_bytes bigint,
  p_estimated boolean, p_end_time timestamptz, p_reason text
) RETURNS TABLE (
  outcome text, lifetime_ms bigint, cpu_micros bigint, memory_mib_millis bigint, peak_memory_bytes bigint, cost_nano_usd bigint
) LANGUAGE plpgsql VOLATILE ROWS 1 SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
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
