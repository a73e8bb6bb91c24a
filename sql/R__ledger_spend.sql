-- The protocol for money that others spend: reserve, settle, release. Each call decides a batch of items in one round trip and one
-- commit. Locks in the order of the sandboxes' protocol: tenants, holds, counters.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION llm_cost(
  p_model text, p_input_tokens bigint, p_cached_input_tokens bigint, p_output_tokens bigint, p_at timestamptz
) RETURNS TABLE (model_price_version_id bigint, amount_nano_usd bigint) LANGUAGE sql STABLE ROWS 1 AS $$
  -- nano-USD = USD * 10^9, for each of 10^6 tokens.
  SELECT v.model_price_version_id,
         ledger_round(1000 * (v.usd_per_million_input_tokens * p_input_tokens
           + v.usd_per_million_cached_input_tokens * p_cached_input_tokens + v.usd_per_million_output_tokens * p_output_tokens))
  FROM model_price_version v
  WHERE v.model = p_model AND v.start_time <= p_at AND (v.end_time IS NULL OR v.end_time > p_at)
$$;
COMMENT ON FUNCTION llm_cost IS 'What tokens cost at the price of a time, rounded half to even; no row without a price.';

CREATE OR REPLACE FUNCTION ledger_lock_tenants(p_tenant_id text[]) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(k.key)
  FROM (SELECT DISTINCT ledger_tenant_key(t.tenant_id) AS key FROM unnest(p_tenant_id) AS t (tenant_id) ORDER BY key) AS k;
END
$$;
COMMENT ON FUNCTION ledger_lock_tenants IS 'Takes the shared locks of tenants, always in one order.';

CREATE OR REPLACE FUNCTION ledger_reserve(
  p_tenant_id text[], p_organisation_id text[], p_user_id text[], p_conversation_id text[], p_path text[], p_agent_id text[],
  p_task_id text[], p_correlation_id text[], p_workflow_id text[], p_request_id uuid[], p_request_hash bytea[],
  p_amount_nano_usd bigint[], p_model text[], p_input_tokens bigint[], p_cached_input_tokens bigint[], p_output_tokens bigint[],
  p_time_to_live_ms bigint[], p_now timestamptz
) RETURNS TABLE (
  item int, outcome text, hold_id bigint, request_hash bytea, state text, amount_nano_usd bigint, settled_nano_usd bigint,
  until_time timestamptz, limit_id bigint, scope text, scope_id text, resource text, period text, remaining bigint, needed bigint,
  reset_time timestamptz
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
  v_now     timestamptz := date_trunc('milliseconds', p_now, 'UTC');
  v_items   int[];
  v_holds   bigint[];
  v_lines   record;
  v_miss    record;
  v_refused int[] := '{}';
BEGIN
  PERFORM ledger_lock_tenants(p_tenant_id);
  WITH asked AS MATERIALIZED (
    SELECT i.item::int, i.tenant_id, i.organisation_id, i.user_id, i.conversation_id, i.path, i.agent_id, i.task_id,
           i.correlation_id, i.workflow_id, i.request_id, i.request_hash, i.time_to_live_ms, coalesce(i.amount, c.amount_nano_usd) AS amount
    FROM unnest(
      p_tenant_id, p_organisation_id, p_user_id, p_conversation_id, p_path, p_agent_id, p_task_id, p_correlation_id, p_workflow_id,
      p_request_id, p_request_hash, p_amount_nano_usd, p_model, p_input_tokens, p_cached_input_tokens, p_output_tokens, p_time_to_live_ms)
      WITH ORDINALITY AS i (
        tenant_id, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id,
        request_id, request_hash, amount, model, input_tokens, cached_input_tokens, output_tokens, time_to_live_ms, item)
    LEFT JOIN LATERAL llm_cost(i.model, i.input_tokens, i.cached_input_tokens, i.output_tokens, v_now) AS c ON i.amount IS NULL
  ), charged AS (
    SELECT a.item, array_agg(l.limit_id ORDER BY l.limit_id) AS limits,
           array_agg(ledger_period_start(l.period, l.zone, v_now) ORDER BY l.limit_id) AS periods,
           array_agg(a.amount) AS amounts
    FROM asked a
    CROSS JOIN LATERAL ledger_limits(a.tenant_id, a.organisation_id, a.user_id, a.conversation_id, a.agent_id) AS l
    WHERE l.resource IN ('ALL_SPEND', 'LLM_SPEND') AND a.amount IS NOT NULL
    GROUP BY a.item
  ), made AS (
    -- In one order, so that two batches with the same requests cannot wait for each other.
    INSERT INTO hold AS h (
      tenant_id, request_id, request_hash, kind, state, from_time, until_time, amount_nano_usd, create_time, organisation_id, user_id,
      conversation_id, path, agent_id, task_id, correlation_id, workflow_id, charged_limits, charged_periods, charged_amounts)
    SELECT a.tenant_id, a.request_id, a.request_hash, 'LLM', 'OPEN', v_now,
           v_now + make_interval(secs => a.time_to_live_ms / 1000.0), a.amount, v_now,
           a.organisation_id, a.user_id, a.conversation_id, a.path, a.agent_id, a.task_id, a.correlation_id, a.workflow_id,
           coalesce(c.limits, '{}'), coalesce(c.periods, '{}'), coalesce(c.amounts, '{}')
    FROM asked a LEFT JOIN charged c ON c.item = a.item
    WHERE a.amount IS NOT NULL
    ORDER BY a.tenant_id, a.request_id, a.item
    ON CONFLICT ON CONSTRAINT hold_request_id_uq DO NOTHING
    RETURNING h.hold_id, h.tenant_id, h.request_id
  )
  SELECT array_agg(m.item), array_agg(m.hold_id) INTO v_items, v_holds
  FROM (
    SELECT min(a.item) AS item, made.hold_id
    FROM made JOIN asked a ON a.tenant_id = made.tenant_id AND a.request_id = made.request_id
    GROUP BY made.hold_id
  ) AS m;

  SELECT array_agg(k.item) AS items, array_agg(c.limit_id) AS limits, array_agg(c.period_start) AS starts,
         array_agg(c.amount) AS amounts, array_agg(0::bigint) AS zeros, array_agg(true) AS guarded
  INTO v_lines
  FROM unnest(v_items, v_holds) AS k (item, hold_id)
  JOIN hold h ON h.hold_id = k.hold_id
  CROSS JOIN unnest(h.charged_limits, h.charged_periods, h.charged_amounts) AS c (limit_id, period_start, amount);
  FOR v_miss IN
    SELECT * FROM ledger_charge(
      v_lines.items, v_lines.limits, v_lines.starts, v_lines.zeros, v_lines.zeros, v_lines.amounts, v_lines.guarded, NULL, v_now)
  LOOP
    v_refused := v_refused || v_miss.item;
    RETURN QUERY SELECT
      v_miss.item, 'DENIED', NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::timestamptz, v_miss.limit_id,
      v_miss.scope, v_miss.scope_id, v_miss.resource, v_miss.period, v_miss.remaining, v_miss.needed, v_miss.reset_time;
  END LOOP;
  IF v_refused <> '{}' THEN
    DELETE FROM hold h USING unnest(v_items, v_holds) AS k (item, hold_id)
    WHERE k.item = ANY (v_refused) AND h.hold_id = k.hold_id;
  END IF;

  RETURN QUERY
    SELECT i.item::int, CASE WHEN k.item IS NOT NULL THEN 'GRANTED' WHEN h.kind = 'LLM' AND h.state <> 'OPEN' AND h.create_time < ledger_closed_until() THEN 'GONE'
             WHEN h.kind = 'LLM' THEN 'REPLAYED'
             WHEN h.kind IS NOT NULL THEN 'OTHER_KIND' ELSE 'NO_PRICE' END,
           h.hold_id, h.request_hash, h.state, h.amount_nano_usd, h.settled_nano_usd, h.until_time,
           NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::timestamptz
    FROM unnest(p_tenant_id, p_request_id) WITH ORDINALITY AS i (tenant_id, request_id, item)
    LEFT JOIN unnest(v_items, v_holds) AS k (item, hold_id) ON k.item = i.item
    LEFT JOIN hold h ON h.tenant_id = i.tenant_id AND h.request_id = i.request_id
    WHERE i.item <> ALL (v_refused)
      -- One whose equal in the same batch was refused has no row: it is asked again.
      AND (h.hold_id IS NOT NULL OR p_amount_nano_usd[i.item] IS NULL);
END
$$;
COMMENT ON FUNCTION ledger_reserve IS
  'Sets money aside for LLM spends: an amount, or the most that tokens of a model may cost. Of each item outcome: GRANTED; REPLAYED (the request was granted before: the hold as it is now); GONE (the request was granted before, in a month that is closed); OTHER_KIND (the request id was used for a sandbox); DENIED (by the limit named; nothing changed); NO_PRICE (of the model; nothing changed). No row: ask again.';

CREATE OR REPLACE FUNCTION ledger_settle_spend(
  p_tenant_id text[], p_agent_id text[], p_hold_id bigint[], p_amount_nano_usd bigint[], p_model text[], p_input_tokens bigint[],
  p_cached_input_tokens bigint[], p_output_tokens bigint[], p_release boolean[], p_now timestamptz
) RETURNS TABLE (
  item int, outcome text, amount_nano_usd bigint, settled_nano_usd bigint, until_time timestamptz, end_reason text
)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
  v_now   timestamptz := date_trunc('milliseconds', p_now, 'UTC');
  v_lines record;
BEGIN
  PERFORM ledger_lock_tenants(p_tenant_id);
  PERFORM FROM hold h WHERE h.hold_id = ANY (p_hold_id) ORDER BY h.hold_id FOR NO KEY UPDATE;
  -- By their ids first: with the tenant beside them, a plan made on an empty table goes through all that a tenant ever had.
  WITH held AS MATERIALIZED (
    SELECT h.* FROM hold h WHERE h.hold_id = ANY (p_hold_id)
  ), ending AS MATERIALIZED (
    -- The first item of a hold that is open ends it.
    SELECT DISTINCT ON (h.hold_id) i.item::int, i.release, h.hold_id, h.tenant_id, h.organisation_id, h.user_id, h.conversation_id,
           h.path, h.agent_id, h.task_id, h.correlation_id, h.workflow_id, h.create_time, h.charged_limits, h.charged_periods,
           h.charged_amounts, i.model, c.model_price_version_id, i.input_tokens, i.cached_input_tokens, i.output_tokens,
           CASE WHEN i.release THEN 0 ELSE coalesce(i.amount, c.amount_nano_usd) END AS amount
    FROM unnest(
      p_tenant_id, p_agent_id, p_hold_id, p_amount_nano_usd, p_model, p_input_tokens, p_cached_input_tokens, p_output_tokens, p_release)
      WITH ORDINALITY AS i (tenant_id, agent_id, hold_id, amount, model, input_tokens, cached_input_tokens, output_tokens, release, item)
    JOIN held h ON h.hold_id = i.hold_id AND h.tenant_id = i.tenant_id AND h.kind = 'LLM' AND h.state = 'OPEN'
      AND (i.agent_id IS NULL OR i.agent_id = h.agent_id)
    -- At the price of the time of the reservation, to whose period it is booked.
    LEFT JOIN LATERAL llm_cost(i.model, i.input_tokens, i.cached_input_tokens, i.output_tokens, h.create_time) AS c ON i.amount IS NULL
    WHERE i.release OR i.amount IS NOT NULL OR c.model_price_version_id IS NOT NULL
    ORDER BY h.hold_id, i.item
  ), booked AS (
    INSERT INTO cost_record (
      kind, spend, tenant_id, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id, hold_id,
      from_time, to_time, quality, share_micros, model, model_price_version_id, input_tokens, cached_input_tokens, output_tokens,
      amount_nano_usd)
    SELECT 'USAGE', 'LLM', e.tenant_id, e.organisation_id, e.user_id, e.conversation_id, e.path, e.agent_id, e.task_id, e.correlation_id,
           e.workflow_id, e.hold_id, e.create_time, greatest(v_now, e.create_time), 'MEASURED', 0, e.model, e.model_price_version_id,
           CASE WHEN e.model_price_version_id IS NOT NULL THEN e.input_tokens END,
           CASE WHEN e.model_price_version_id IS NOT NULL THEN e.cached_input_tokens END,
           CASE WHEN e.model_price_version_id IS NOT NULL THEN e.output_tokens END, e.amount
    FROM ending e WHERE NOT e.release
  ), ended AS (
    UPDATE hold h
    SET state = CASE WHEN e.release THEN 'RELEASED' ELSE 'SETTLED' END, end_time = greatest(v_now, h.create_time),
        settled_nano_usd = CASE WHEN NOT e.release THEN e.amount END,
        end_reason = CASE WHEN NOT e.release THEN 'SETTLED' WHEN h.until_time <= v_now THEN 'EXPIRED' ELSE 'RELEASED' END
    FROM ending e WHERE h.hold_id = e.hold_id
  ), lines AS (
    SELECT e.item, c.limit_id, c.period_start, e.amount AS booked, c.amount AS held
    FROM ending e CROSS JOIN unnest(e.charged_limits, e.charged_periods, e.charged_amounts) AS c (limit_id, period_start, amount)
  )
  SELECT (SELECT coalesce(array_agg(e.item), '{}') FROM ending e) AS ended, array_agg(l.item) AS items, array_agg(l.limit_id) AS limits,
         array_agg(l.period_start) AS starts, array_agg(l.booked) AS booked, array_agg(l.held) AS held,
         array_agg(0::bigint) AS zeros, array_agg(false) AS guarded
  INTO v_lines FROM lines l;
  PERFORM FROM ledger_charge(
    v_lines.items, v_lines.limits, v_lines.starts, v_lines.booked, v_lines.held, v_lines.zeros, v_lines.guarded, NULL, v_now);

  RETURN QUERY
    WITH held AS MATERIALIZED (
      SELECT h.* FROM hold h WHERE h.hold_id = ANY (p_hold_id)
    )
    SELECT i.item::int,
           CASE WHEN h.hold_id IS NULL THEN 'UNKNOWN' WHEN i.item = ANY (v_lines.ended) THEN 'ENDED'
             WHEN h.state = 'OPEN' THEN 'NO_PRICE'
             WHEN h.settled_nano_usd IS NOT DISTINCT FROM CASE WHEN NOT i.release THEN coalesce(i.amount, c.amount_nano_usd) END THEN 'REPEATED'
             ELSE 'ENDED_BEFORE' END,
           h.amount_nano_usd, h.settled_nano_usd, h.until_time, h.end_reason
    FROM unnest(
      p_tenant_id, p_agent_id, p_hold_id, p_amount_nano_usd, p_model, p_input_tokens, p_cached_input_tokens, p_output_tokens, p_release)
      WITH ORDINALITY AS i (tenant_id, agent_id, hold_id, amount, model, input_tokens, cached_input_tokens, output_tokens, release, item)
    LEFT JOIN held h ON h.hold_id = i.hold_id AND h.tenant_id = i.tenant_id AND h.kind = 'LLM'
      AND (i.agent_id IS NULL OR i.agent_id = h.agent_id)
    LEFT JOIN LATERAL llm_cost(i.model, i.input_tokens, i.cached_input_tokens, i.output_tokens, h.create_time) AS c
      ON i.amount IS NULL AND i.item <> ALL (v_lines.ended);
END
$$;
COMMENT ON FUNCTION ledger_settle_spend IS
  'Ends holds of LLM spends: books what was spent, an amount or tokens of a model, past a limit if need be (recorded); or, where p_release says so, nothing. Of each item outcome: ENDED; REPEATED (it ended just so before); ENDED_BEFORE (otherwise, as returned); UNKNOWN (no such hold of the tenant, and of the agent where one is given); NO_PRICE (of the model at the time of the reservation; nothing changed).';
