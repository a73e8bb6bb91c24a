-- An execution's start and its end, each one round trip and one commit: they are on the way of every call. By the indexes,
-- whatever the tables look like when a plan is made for them.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION execution_begin(
  p_execution_id text, p_sandbox_id text, p_request_id uuid, p_request_hash bytea, p_kind text, p_language text,
  p_start_time timestamptz, p_code_hash bytea, p_key_id text, p_key_agent_id text, p_remote_address text, p_user_agent text,
  p_has_room boolean
) RETURNS TABLE (outcome text, execution_id text, request_hash bytea)
LANGUAGE plpgsql VOLATILE ROWS 1 SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  v_tenant_id text;
  v_may_run   boolean;
BEGIN
  -- The lock makes whoever stops the sandbox wait, or has this call see that it is stopped; others may begin meanwhile.
  SELECT s.tenant_id, s.state = 'RUNNING' AND s.paid_until > p_start_time INTO STRICT v_tenant_id, v_may_run
  FROM sandbox s WHERE s.sandbox_id = p_sandbox_id FOR SHARE;
  IF v_may_run AND p_has_room THEN
    INSERT INTO execution (
      execution_id, sandbox_id, tenant_id, request_id, request_hash, kind, language, state, start_time, code_hash,
      key_id, key_agent_id, remote_address, user_agent)
    VALUES (
      p_execution_id, p_sandbox_id, v_tenant_id, p_request_id, p_request_hash, p_kind, p_language, 'RUNNING', p_start_time,
      p_code_hash, p_key_id, p_key_agent_id, p_remote_address, p_user_agent)
    ON CONFLICT ON CONSTRAINT execution_request_id_uq DO NOTHING;
    IF FOUND THEN
      RETURN QUERY SELECT 'ADDED', p_execution_id, p_request_hash;
      RETURN;
    END IF;
  END IF;
  RETURN QUERY SELECT 'REPEATED', e.execution_id, e.request_hash
  FROM execution e WHERE e.tenant_id = v_tenant_id AND e.request_id = p_request_id;
  IF NOT FOUND THEN
    RETURN QUERY SELECT CASE WHEN v_may_run THEN 'NO_ROOM' ELSE 'NOT_RUNNING' END, NULL::text, NULL::bytea;
  END IF;
END
$$;
COMMENT ON FUNCTION execution_begin IS
  'Adds an execution that starts now. outcome: ADDED; REPEATED (the request id was used before, for the execution and content returned); NO_ROOM (the caller says that the sandbox runs as many as it may); NOT_RUNNING (the sandbox does not run, or its paid time is over). But for ADDED nothing is changed.';

CREATE OR REPLACE FUNCTION execution_finish(
  p_execution_id text, p_end_time timestamptz, p_reason text, p_exit_code int, p_signal int, p_cpu_micros bigint,
  p_peak_memory_bytes bigint, p_last_sequence bigint, p_stdout_bytes bigint, p_stdout_hash bytea, p_stderr_bytes bigint,
  p_stderr_hash bytea
) RETURNS bigint LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
-- Generic plans: for statements this small, making a plan takes longer than the statement.
DECLARE
  v_execution execution;
  v_sandbox   sandbox;
  v_cost      bigint;
BEGIN
  SELECT * INTO STRICT v_execution FROM execution e WHERE e.execution_id = p_execution_id FOR NO KEY UPDATE;
  IF v_execution.state <> 'RUNNING' THEN
    -- A repetition after an answer that was lost gets it again.
    RETURN CASE WHEN v_execution.end_time = p_end_time AND v_execution.reason = p_reason
      AND v_execution.last_sequence = p_last_sequence THEN v_execution.cost_nano_usd END;
  END IF;
  v_cost := ledger_execution_cost(p_execution_id, p_end_time, p_cpu_micros);
  UPDATE execution e
  SET state = 'FINISHED', reason = p_reason, end_time = p_end_time, exit_code = p_exit_code, signal = p_signal,
      cpu_micros = p_cpu_micros, peak_memory_bytes = p_peak_memory_bytes, last_sequence = p_last_sequence,
      stdout_bytes = p_stdout_bytes, stdout_hash = p_stdout_hash, stderr_bytes = p_stderr_bytes,
      stderr_hash = p_stderr_hash, cost_nano_usd = v_cost
  WHERE e.execution_id = p_execution_id;
  SELECT * INTO STRICT v_sandbox FROM sandbox s WHERE s.sandbox_id = v_execution.sandbox_id;
  PERFORM audit_append(
    v_execution.tenant_id, p_end_time, v_execution.key_id, v_sandbox.user_id, coalesce(v_sandbox.agent_id, v_execution.key_agent_id),
    v_execution.remote_address, v_execution.user_agent, 'run_' || v_execution.kind, v_execution.sandbox_id, p_execution_id,
    v_sandbox.conversation_id, v_sandbox.path, v_sandbox.task_id, v_execution.code_hash, p_stdout_hash, p_stderr_hash,
    p_exit_code, ledger_micros(v_execution.start_time, p_end_time) / 1000, p_cpu_micros, p_peak_memory_bytes, v_cost,
    CASE p_reason WHEN 'COMPLETED' THEN 'ok' ELSE p_reason END, NULL);
  RETURN v_cost;
END
$$;
COMMENT ON FUNCTION execution_finish IS
  'Writes down how an execution ended, what it cost and its audit event; returns the cost in nano-USD. Null, and nothing is changed, when another end is known already.';
