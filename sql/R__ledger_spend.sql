-- The protocol for money that others spend: reserve, settle, release, record. One call decides a batch of all of them in one
-- round trip and one commit: a hot counter's row is locked until the commit is on disk, so what is decided apart waits for each
-- other's commits. Locks in the order of the sandboxes' protocol: tenants, holds, counters.

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

CREATE OR REPLACE FUNCTION ledger_spend(
  p_end_tenant_id text[], p_end_agent_id text[], p_end_hold_id bigint[], p_end_amount_nano_usd bigint[], p_end_model text[],
  p_end_input_tokens bigint[], p_end_cached_input_tokens bigint[], p_end_output_tokens bigint[], p_end_release boolean[],
  p_tenant_id text[], p_organisation_id text[], p_user_id text[], p_conversation_id text[], p_path text[], p_agent_id text[],
  p_task_id text[], p_correlation_id text[], p_workflow_id text[], p_request_id uuid[], p_request_hash bytea[],
  p_amount_nano_usd bigint[], p_model text[], p_input_tokens bigint[], p_cached_input_tokens bigint[], p_output_tokens bigint[],
  p_time_to_live_ms bigint[], p_spent boolean[], p_now timestamptz
) RETURNS TABLE (
  item int, outcome text, hold_id bigint, request_hash bytea, state text, amount_nano_usd bigint, settled_nano_usd bigint,
  until_time timestamptz, end_reason text, limit_id bigint, scope text, scope_id text, resource text, period text,
  remaining bigint, needed bigint, reset_time timestamptz
)
-- Whatever the plans are made for, on an empty table perhaps: each hold is found by its key. Where a join could as well read
-- all of a table that is small now, a list of the keys is given besides.
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_mergejoin = off
SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
  v_now         timestamptz := date_trunc('milliseconds', p_now, 'UTC');
  v_endings     int := cardinality(p_end_hold_id);
  v_amounts     bigint[];
  v_versions    bigint[];
  v_ended       int[];
  v_held        bigint[];
  v_settled     bigint[];
  v_reasons     text[];
  v_items       int[] := '{}';
  v_holds       bigint[];
  v_until_times timestamptz[];
  v_miss        record;
  -- The lines of all items for the counters.
  v_line_items  int[];
  v_limits      bigint[];
  v_starts      timestamptz[];
  v_booked      bigint[];
  v_before      bigint[];
  v_after       bigint[];
  v_guarded     boolean[];
  v_refused     int[] := '{}';
BEGIN
  PERFORM ledger_lock_tenants(p_end_tenant_id || p_tenant_id);

  IF v_endings > 0 THEN
    v_amounts := p_end_amount_nano_usd;
    IF array_remove(p_end_input_tokens, NULL) <> '{}' THEN
      -- At the price of the time of the reservation, to whose period it is booked.
      SELECT array_agg(coalesce(i.amount, c.amount_nano_usd) ORDER BY i.item), array_agg(c.model_price_version_id ORDER BY i.item)
      INTO v_amounts, v_versions
      FROM unnest(p_end_hold_id, p_end_amount_nano_usd, p_end_model, p_end_input_tokens, p_end_cached_input_tokens, p_end_output_tokens)
        WITH ORDINALITY AS i (hold_id, amount, model, input_tokens, cached_input_tokens, output_tokens, item)
      LEFT JOIN hold h ON h.hold_id = i.hold_id AND h.hold_id = ANY (p_end_hold_id)
      LEFT JOIN LATERAL llm_cost(i.model, i.input_tokens, i.cached_input_tokens, i.output_tokens, h.create_time) AS c ON i.amount IS NULL;
    END IF;
    WITH ended AS (
      -- Of several items of one hold one ends it. Here and below the arrays are looked into by number: unnesting as many costs
      -- more than all else.
      UPDATE hold h
      SET state = CASE WHEN p_end_release[i.item] THEN 'RELEASED' ELSE 'SETTLED' END, end_time = greatest(v_now, h.create_time),
          settled_nano_usd = CASE WHEN NOT p_end_release[i.item] THEN v_amounts[i.item] END,
          end_reason = CASE WHEN NOT p_end_release[i.item] THEN 'SETTLED' WHEN h.until_time <= v_now THEN 'EXPIRED' ELSE 'RELEASED' END
      FROM (
        SELECT k.item, p_end_hold_id[k.item] AS hold_id
        FROM generate_series(1, v_endings) AS k (item)
        WHERE p_end_release[k.item] OR v_amounts[k.item] IS NOT NULL
        ORDER BY hold_id, k.item
      ) AS i
      -- Said so that no index but that of the ids can be taken, which finds one; others find all that is open, or all that a
      -- tenant ever had, which looks as cheap while there is little.
      WHERE h.hold_id = i.hold_id AND h.hold_id = ANY (p_end_hold_id) AND h.kind = 'LLM' AND h.end_time IS NULL
        AND h.tenant_id IS NOT DISTINCT FROM p_end_tenant_id[i.item]
        AND (p_end_agent_id[i.item] IS NULL OR h.agent_id = p_end_agent_id[i.item])
      RETURNING i.item, h.hold_id, h.tenant_id, h.organisation_id, h.user_id, h.conversation_id, h.path, h.agent_id, h.task_id,
        h.correlation_id, h.workflow_id, h.create_time, h.until_time, h.end_time, h.end_reason, h.amount_nano_usd, h.settled_nano_usd,
        h.charged_limits, h.charged_periods, h.charged_amounts
    ), booked AS (
      INSERT INTO cost_record (
        kind, spend, tenant_id, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id, hold_id,
        from_time, to_time, quality, share_micros, model, model_price_version_id, input_tokens, cached_input_tokens, output_tokens,
        amount_nano_usd)
      SELECT 'USAGE', 'LLM', e.tenant_id, e.organisation_id, e.user_id, e.conversation_id, e.path, e.agent_id, e.task_id,
             e.correlation_id, e.workflow_id, e.hold_id, e.create_time, e.end_time, 'MEASURED', 0, p_end_model[e.item],
             v_versions[e.item], CASE WHEN v_versions[e.item] IS NOT NULL THEN p_end_input_tokens[e.item] END,
             CASE WHEN v_versions[e.item] IS NOT NULL THEN p_end_cached_input_tokens[e.item] END,
             CASE WHEN v_versions[e.item] IS NOT NULL THEN p_end_output_tokens[e.item] END, e.settled_nano_usd
      FROM ended e WHERE NOT p_end_release[e.item]
    )
    SELECT a.items, a.held, a.settled, a.until_times, a.reasons, l.*
    INTO v_ended, v_held, v_settled, v_until_times, v_reasons, v_line_items, v_limits, v_starts, v_booked, v_before, v_after, v_guarded
    FROM (
      SELECT coalesce(array_agg(e.item), '{}') AS items, array_agg(e.amount_nano_usd) AS held, array_agg(e.settled_nano_usd) AS settled,
             array_agg(e.until_time) AS until_times, array_agg(e.end_reason) AS reasons
      FROM ended e
    ) AS a
    CROSS JOIN (
      SELECT array_agg(e.item), array_agg(e.charged_limits[c.i]), array_agg(e.charged_periods[c.i]),
             array_agg(coalesce(e.settled_nano_usd, 0)), array_agg(e.charged_amounts[c.i]), array_agg(0::bigint), array_agg(false)
      FROM ended e CROSS JOIN generate_series(1, cardinality(e.charged_limits)) AS c (i)
    ) AS l;
    RETURN QUERY
      SELECT e.item, 'ENDED', p_end_hold_id[e.item], NULL::bytea, CASE WHEN p_end_release[e.item] THEN 'RELEASED' ELSE 'SETTLED' END, e.held, e.settled, e.until_time, e.reason,
             NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::timestamptz
      FROM unnest(v_ended, v_held, v_settled, v_until_times, v_reasons) AS e (item, held, settled, until_time, reason);
    IF cardinality(v_ended) < v_endings THEN
      RETURN QUERY
        SELECT i.item::int,
               CASE WHEN h.hold_id IS NULL THEN 'UNKNOWN'
                 WHEN h.state = 'OPEN' THEN 'NO_PRICE'
                 WHEN h.settled_nano_usd IS NOT DISTINCT FROM CASE WHEN NOT i.release THEN i.amount END THEN 'REPEATED'
                 ELSE 'ENDED_BEFORE' END,
               h.hold_id, NULL::bytea, h.state, h.amount_nano_usd, h.settled_nano_usd, h.until_time, h.end_reason,
               NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::timestamptz
        FROM unnest(p_end_tenant_id, p_end_agent_id, p_end_hold_id, v_amounts, p_end_release)
          WITH ORDINALITY AS i (tenant_id, agent_id, hold_id, amount, release, item)
        LEFT JOIN hold h ON h.hold_id = i.hold_id AND h.hold_id = ANY (p_end_hold_id) AND h.kind = 'LLM'
          AND h.tenant_id IS NOT DISTINCT FROM i.tenant_id AND (i.agent_id IS NULL OR i.agent_id = h.agent_id)
        WHERE i.item <> ALL (v_ended);
    END IF;
  END IF;

  IF cardinality(p_request_id) > 0 THEN
    v_amounts := p_amount_nano_usd;
    v_versions := NULL;
    IF array_remove(p_input_tokens, NULL) <> '{}' THEN
      SELECT array_agg(coalesce(i.amount, c.amount_nano_usd) ORDER BY i.item), array_agg(c.model_price_version_id ORDER BY i.item)
      INTO v_amounts, v_versions
      FROM unnest(p_amount_nano_usd, p_model, p_input_tokens, p_cached_input_tokens, p_output_tokens)
        WITH ORDINALITY AS i (amount, model, input_tokens, cached_input_tokens, output_tokens, item)
      LEFT JOIN LATERAL llm_cost(i.model, i.input_tokens, i.cached_input_tokens, i.output_tokens, v_now) AS c ON i.amount IS NULL;
    END IF;
    WITH asked AS MATERIALIZED (
      -- Those of the same attribution have the same limits, which are looked up for the first of them.
      SELECT k.i, min(k.i) OVER (
        PARTITION BY p_tenant_id[k.i], p_organisation_id[k.i], p_user_id[k.i], p_conversation_id[k.i], p_agent_id[k.i]) AS first
      FROM generate_series(1, cardinality(p_request_id)) AS k (i)
      WHERE v_amounts[k.i] IS NOT NULL
    ), charged AS MATERIALIZED (
      SELECT a.i, coalesce(c.limits, '{}') AS limits, coalesce(c.starts, '{}') AS starts
      FROM (
        SELECT a.first, array_agg(l.limit_id) AS limits, array_agg(ledger_period_start(l.period, l.zone, v_now)) AS starts
        FROM asked a
        CROSS JOIN ledger_limits(p_tenant_id[a.i], p_organisation_id[a.i], p_user_id[a.i], p_conversation_id[a.i], p_agent_id[a.i]) AS l
        WHERE a.i = a.first AND l.resource IN ('ALL_SPEND', 'LLM_SPEND')
        GROUP BY a.first
      ) AS c
      RIGHT JOIN asked a ON a.first = c.first
    ), made AS (
      -- In one order, so that two batches with the same requests cannot wait for each other.
      INSERT INTO hold AS h (
        tenant_id, request_id, request_hash, kind, state, from_time, until_time, amount_nano_usd, settled_nano_usd, create_time,
        end_time, end_reason, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id,
        charged_limits, charged_periods, charged_amounts)
      SELECT p_tenant_id[a.i], p_request_id[a.i], p_request_hash[a.i], 'LLM', CASE WHEN p_spent[a.i] THEN 'SETTLED' ELSE 'OPEN' END,
             v_now, v_now + make_interval(secs => p_time_to_live_ms[a.i] / 1000.0),
             CASE WHEN p_spent[a.i] THEN 0 ELSE v_amounts[a.i] END, CASE WHEN p_spent[a.i] THEN v_amounts[a.i] END, v_now,
             CASE WHEN p_spent[a.i] THEN v_now END, CASE WHEN p_spent[a.i] THEN 'SETTLED' END, p_organisation_id[a.i], p_user_id[a.i],
             p_conversation_id[a.i], p_path[a.i], p_agent_id[a.i], p_task_id[a.i], p_correlation_id[a.i], p_workflow_id[a.i],
             -- What is over already holds nothing.
             CASE WHEN p_spent[a.i] THEN '{}' ELSE a.limits END, CASE WHEN p_spent[a.i] THEN '{}' ELSE a.starts END,
             CASE WHEN p_spent[a.i] THEN '{}' ELSE array_fill(v_amounts[a.i], ARRAY[cardinality(a.limits)]) END
      FROM charged a
      ORDER BY p_tenant_id[a.i], p_request_id[a.i], a.i
      ON CONFLICT ON CONSTRAINT hold_request_id_uq DO NOTHING
      RETURNING h.hold_id, h.tenant_id, h.request_id, h.until_time
    ), mine AS (
      SELECT DISTINCT ON (made.hold_id) made.hold_id, made.until_time, a.i, a.limits, a.starts
      FROM made JOIN charged a ON p_request_id[a.i] = made.request_id AND p_tenant_id[a.i] = made.tenant_id
      ORDER BY made.hold_id, a.i
    )
    SELECT m.items, m.holds, m.until_times, v_line_items || l.items, v_limits || l.limits, v_starts || l.starts, v_booked || l.booked,
           v_before || l.before, v_after || l.after, v_guarded || l.guarded
    INTO v_items, v_holds, v_until_times, v_line_items, v_limits, v_starts, v_booked, v_before, v_after, v_guarded
    FROM (
      SELECT coalesce(array_agg(m.i + v_endings), '{}') AS items, array_agg(m.hold_id) AS holds, array_agg(m.until_time) AS until_times FROM mine m
    ) AS m
    CROSS JOIN (
      SELECT array_agg(m.i + v_endings) AS items, array_agg(m.limits[c.i]) AS limits, array_agg(m.starts[c.i]) AS starts,
             array_agg(CASE WHEN p_spent[m.i] THEN v_amounts[m.i] ELSE 0 END) AS booked, array_agg(0::bigint) AS before,
             array_agg(CASE WHEN p_spent[m.i] THEN 0 ELSE v_amounts[m.i] END) AS after, array_agg(NOT p_spent[m.i]) AS guarded
      FROM mine m CROSS JOIN generate_series(1, cardinality(m.limits)) AS c (i)
    ) AS l;
    IF true = ANY (p_spent) THEN
      INSERT INTO cost_record (
        kind, spend, tenant_id, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id, hold_id,
        from_time, to_time, quality, share_micros, model, model_price_version_id, input_tokens, cached_input_tokens, output_tokens,
        amount_nano_usd)
      SELECT 'USAGE', 'LLM', p_tenant_id[k.i], p_organisation_id[k.i], p_user_id[k.i], p_conversation_id[k.i], p_path[k.i], p_agent_id[k.i],
             p_task_id[k.i], p_correlation_id[k.i], p_workflow_id[k.i], k.hold_id, v_now, v_now, 'MEASURED', 0, p_model[k.i],
             v_versions[k.i], CASE WHEN v_versions[k.i] IS NOT NULL THEN p_input_tokens[k.i] END,
             CASE WHEN v_versions[k.i] IS NOT NULL THEN p_cached_input_tokens[k.i] END,
             CASE WHEN v_versions[k.i] IS NOT NULL THEN p_output_tokens[k.i] END, v_amounts[k.i]
      FROM (SELECT u.item - v_endings AS i, u.hold_id FROM unnest(v_items, v_holds) AS u (item, hold_id)) AS k
      WHERE p_spent[k.i];
    END IF;
  END IF;

  FOR v_miss IN
    SELECT * FROM ledger_charge(v_line_items, v_limits, v_starts, v_booked, v_before, v_after, v_guarded, NULL, v_now)
  LOOP
    v_refused := v_refused || v_miss.item;
    RETURN QUERY SELECT
      v_miss.item, 'DENIED', NULL::bigint, NULL::bytea, NULL::text, NULL::bigint, NULL::bigint, NULL::timestamptz, NULL::text,
      v_miss.limit_id, v_miss.scope, v_miss.scope_id, v_miss.resource, v_miss.period, v_miss.remaining, v_miss.needed, v_miss.reset_time;
  END LOOP;
  IF v_refused <> '{}' THEN
    DELETE FROM hold h USING unnest(v_items, v_holds) AS k (item, hold_id)
    WHERE k.item = ANY (v_refused) AND h.hold_id = k.hold_id AND h.hold_id = ANY (v_holds);
  END IF;

  IF cardinality(p_request_id) > 0 THEN
    RETURN QUERY
      SELECT k.item, 'GRANTED', k.hold_id, NULL::bytea, CASE WHEN p_spent[k.item - v_endings] THEN 'SETTLED' ELSE 'OPEN' END,
             CASE WHEN p_spent[k.item - v_endings] THEN 0 ELSE v_amounts[k.item - v_endings] END,
             CASE WHEN p_spent[k.item - v_endings] THEN v_amounts[k.item - v_endings] END, k.until_time, NULL::text,
             NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::timestamptz
      FROM unnest(v_items, v_holds, v_until_times) AS k (item, hold_id, until_time)
      WHERE k.item <> ALL (v_refused);
    IF cardinality(v_items) < cardinality(p_request_id) THEN
      RETURN QUERY
        SELECT i.item::int + v_endings,
               CASE WHEN h.kind = 'LLM' AND h.state <> 'OPEN' AND h.create_time < ledger_closed_until() THEN 'GONE'
                 WHEN h.kind = 'LLM' THEN 'REPLAYED' WHEN h.kind IS NOT NULL THEN 'OTHER_KIND' ELSE 'NO_PRICE' END,
               h.hold_id, h.request_hash, h.state, h.amount_nano_usd, h.settled_nano_usd, h.until_time, h.end_reason,
               NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::text, NULL::bigint, NULL::bigint, NULL::timestamptz
        FROM unnest(p_tenant_id, p_request_id) WITH ORDINALITY AS i (tenant_id, request_id, item)
        LEFT JOIN hold h ON h.tenant_id = i.tenant_id AND h.request_id = i.request_id
          AND h.tenant_id = ANY (p_tenant_id) AND h.request_id = ANY (p_request_id)
        WHERE i.item + v_endings <> ALL (v_items)
          -- One whose equal in the same batch was refused has no row: it is asked again.
          AND (h.hold_id IS NOT NULL OR v_amounts[i.item] IS NULL);
    END IF;
  END IF;
END
$$;
COMMENT ON FUNCTION ledger_spend IS
  'Decides a batch of LLM spends: first p_end_..., which end holds, then the others, which reserve or, where p_spent says so, record what was spent already. Items are numbered through. What is spent is booked past a limit if need be (recorded): an amount, or tokens of a model at its price. Of each ending outcome: ENDED; REPEATED (it ended just so before); ENDED_BEFORE (otherwise, as returned); UNKNOWN (no such hold of the tenant, and of the agent where one is given); NO_PRICE (of the model at the time of the reservation; nothing changed). Of each other: GRANTED; REPLAYED (the request was granted before: the hold as it is now); GONE (so it was, in a month that is closed); OTHER_KIND (the request id was used for a sandbox); DENIED (by the limit named; nothing changed); NO_PRICE (of the model; nothing changed). No row: ask again.';
