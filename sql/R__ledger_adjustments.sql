-- Corrections and credits: what the operator books. Rare, so each takes the tenant's lock alone: two with the same request id, or of
-- the same record, come one after the other.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_adjust(p_record cost_record, p_request_id uuid, p_request_hash bytea, p_corrected_id bigint, p_reason text, p_now timestamptz)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_scope hold;
  v_lines record;
BEGIN
  INSERT INTO cost_record (
    kind, spend, tenant_id, organisation_id, user_id, conversation_id, path, agent_id, task_id, correlation_id, workflow_id, sandbox_id,
    execution_id, hold_id, tier, model, from_time, to_time, share_micros, amount_nano_usd)
  VALUES (
    p_record.kind, p_record.spend, p_record.tenant_id, p_record.organisation_id, p_record.user_id, p_record.conversation_id,
    p_record.path, p_record.agent_id, p_record.task_id, p_record.correlation_id, p_record.workflow_id, p_record.sandbox_id,
    p_record.execution_id, p_record.hold_id, p_record.tier, p_record.model, p_record.from_time, p_record.to_time, 0,
    p_record.amount_nano_usd)
  RETURNING cost_record_id INTO p_record.cost_record_id;
  INSERT INTO adjustment (
    cost_record_id, from_time, tenant_id, request_id, request_hash, corrected_id, amount_nano_usd, reason, create_time)
  VALUES (
    p_record.cost_record_id, p_record.from_time, p_record.tenant_id, p_request_id, p_request_hash, p_corrected_id,
    p_record.amount_nano_usd, p_reason, p_now);
  -- The counters of the limits it is in, as if a hold had settled it.
  v_scope.tenant_id := p_record.tenant_id;
  v_scope.kind := p_record.spend;
  v_scope.organisation_id := p_record.organisation_id;
  v_scope.user_id := p_record.user_id;
  v_scope.conversation_id := p_record.conversation_id;
  v_scope.agent_id := p_record.agent_id;
  SELECT * INTO v_lines
  FROM ledger_lines(v_scope, ARRAY[p_record.from_time], ARRAY[p_record.amount_nano_usd], '{}', '{}', 0, false, p_now);
  PERFORM FROM ledger_charge(
    v_lines.items, v_lines.limits, v_lines.starts, v_lines.booked, v_lines.held_before, v_lines.held_after, v_lines.guarded, NULL, p_now);
  RETURN p_record.cost_record_id;
END
$$;
COMMENT ON FUNCTION ledger_adjust IS 'Books a correction or a credit, to the period of its from_time, and returns its id; the caller has the tenant''s lock.';

CREATE OR REPLACE FUNCTION ledger_correct(
  p_tenant_id text, p_request_id uuid, p_request_hash bytea, p_cost_record_id bigint, p_amount_nano_usd bigint, p_reason text, p_now timestamptz
) RETURNS TABLE (outcome text, cost_record_id bigint, request_hash bytea, remaining bigint) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_record cost_record;
  v_left   bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(ledger_tenant_key(p_tenant_id));
  SELECT CASE WHEN a.from_time < ledger_closed_until() THEN 'GONE' ELSE 'REPLAYED' END, a.cost_record_id, a.request_hash INTO outcome, cost_record_id, request_hash
  FROM adjustment a WHERE a.tenant_id = p_tenant_id AND a.request_id = p_request_id;
  IF NOT FOUND THEN
    SELECT * INTO v_record FROM cost_record c WHERE c.cost_record_id = p_cost_record_id AND c.tenant_id = p_tenant_id;
    IF NOT FOUND THEN
      outcome := 'UNKNOWN';
    ELSIF v_record.kind = 'CORRECTION' THEN
      outcome := 'CORRECTION';
    ELSE
      SELECT v_record.amount_nano_usd + coalesce(sum(a.amount_nano_usd), 0) INTO v_left
      FROM adjustment a WHERE a.corrected_id = p_cost_record_id;
      remaining := v_left;
      -- What a record comes to with its corrections stays on its side of nothing.
      IF v_record.amount_nano_usd < 0 AND v_left + p_amount_nano_usd > 0 OR v_record.amount_nano_usd >= 0 AND v_left + p_amount_nano_usd < 0 THEN
        outcome := 'EXCEEDS';
      ELSE
        outcome := 'BOOKED';
        v_record.kind := 'CORRECTION';
        v_record.amount_nano_usd := p_amount_nano_usd;
        cost_record_id := ledger_adjust(v_record, p_request_id, p_request_hash, p_cost_record_id, p_reason, p_now);
      END IF;
    END IF;
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ledger_correct IS
  'Corrects what a cost record came to, in the period that it belongs to. outcome: BOOKED; REPLAYED (the request was booked before); GONE (so it was, in a month that is closed); UNKNOWN (no such record of the tenant); CORRECTION (it is a correction itself); EXCEEDS (remaining, in nano-USD, is what the record comes to by now). But for BOOKED nothing changed.';

CREATE OR REPLACE FUNCTION ledger_credit(
  p_tenant_id text, p_organisation_id text, p_user_id text, p_conversation_id text, p_path text, p_agent_id text, p_task_id text,
  p_correlation_id text, p_workflow_id text, p_request_id uuid, p_request_hash bytea, p_spend text, p_amount_nano_usd bigint, p_reason text,
  p_now timestamptz
) RETURNS TABLE (outcome text, cost_record_id bigint, request_hash bytea) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_record cost_record;
BEGIN
  PERFORM pg_advisory_xact_lock(ledger_tenant_key(p_tenant_id));
  SELECT CASE WHEN a.from_time < ledger_closed_until() THEN 'GONE' ELSE 'REPLAYED' END, a.cost_record_id, a.request_hash INTO outcome, cost_record_id, request_hash
  FROM adjustment a WHERE a.tenant_id = p_tenant_id AND a.request_id = p_request_id;
  IF NOT FOUND THEN
    outcome := 'BOOKED';
    v_record.kind := 'CREDIT';
    v_record.spend := p_spend;
    v_record.tenant_id := p_tenant_id;
    v_record.organisation_id := p_organisation_id;
    v_record.user_id := p_user_id;
    v_record.conversation_id := p_conversation_id;
    v_record.path := p_path;
    v_record.agent_id := p_agent_id;
    v_record.task_id := p_task_id;
    v_record.correlation_id := p_correlation_id;
    v_record.workflow_id := p_workflow_id;
    v_record.from_time := date_trunc('milliseconds', p_now, 'UTC');
    v_record.to_time := v_record.from_time;
    v_record.amount_nano_usd := -p_amount_nano_usd;
    cost_record_id := ledger_adjust(v_record, p_request_id, p_request_hash, NULL, p_reason, p_now);
  END IF;
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION ledger_credit IS
  'Gives a credit of an amount above 0, in the period that holds now; it may exceed what was spent there. outcome: BOOKED; REPLAYED (the request was booked before); GONE (so it was, in a month that is closed).';
