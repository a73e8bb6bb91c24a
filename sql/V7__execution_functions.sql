-- An execution's start and its end, each one round trip and one commit: they are on the way of every call.

CREATE FUNCTION execution_begin(
  p_execution_id text, p_sandbox_id text, p_request_id uuid, p_request_hash bytea, p_kind text, p_language text,
  p_start_time timestamptz, p_code_hash bytea, p_has_room boolean
) RETURNS TABLE (outcome text, execution_id text, request_hash bytea) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_tenant_id text;
  v_may_run   boolean;
BEGIN
  -- The lock makes whoever stops the sandbox wait, or has this call see that it is stopped.
  SELECT s.tenant_id, s.state = 'RUNNING' AND s.paid_until > p_start_time INTO STRICT v_tenant_id, v_may_run
  FROM sandbox s WHERE s.sandbox_id = p_sandbox_id FOR NO KEY UPDATE;
  IF v_may_run AND p_has_room THEN
    INSERT INTO execution (
      execution_id, sandbox_id, tenant_id, request_id, request_hash, kind, language, state, start_time, code_hash)
    VALUES (
      p_execution_id, p_sandbox_id, v_tenant_id, p_request_id, p_request_hash, p_kind, p_language, 'RUNNING', p_start_time,
      p_code_hash)
    ON CONFLICT ON CONSTRAINT execution_request_id_uq DO NOTHING;
    IF FOUND THEN
      UPDATE sandbox SET command_count = command_count + 1 WHERE sandbox_id = p_sandbox_id;
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
  'Adds an execution that starts now and counts it at its sandbox. outcome: ADDED; REPEATED (the request id was used before, for the execution and content returned); NO_ROOM (the caller says that the sandbox runs as many as it may); NOT_RUNNING (the sandbox does not run, or its paid time is over). But for ADDED nothing is changed.';

-- Takes the place of one that divided all that its sandbox did since it was last metered: with every further execution
-- the next took longer. This one looks at the execution's own time only.
DROP FUNCTION ledger_execution_cost(text, timestamptz);

CREATE FUNCTION ledger_execution_cost(p_execution_id text, p_now timestamptz, p_cpu_micros bigint)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_sandbox sandbox;
  v_start   timestamptz;
  v_from    timestamptz;
  v_to      timestamptz;
  v_booked  bigint;
  v_open    numeric;
BEGIN
  SELECT e.start_time, least(e.end_time, p_now) INTO STRICT v_start, v_to FROM execution e WHERE e.execution_id = p_execution_id;
  SELECT s.* INTO STRICT v_sandbox
  FROM sandbox s JOIN execution e ON e.sandbox_id = s.sandbox_id WHERE e.execution_id = p_execution_id;
  v_from := greatest(v_start, v_sandbox.metered_until);
  IF v_sandbox.metered_until > v_start THEN
    SELECT sum(c.amount_nano_usd) INTO v_booked FROM cost_record c WHERE c.execution_id = p_execution_id;
  END IF;
  IF v_sandbox.end_time IS NULL AND v_to > v_from THEN
    WITH ran AS (
      SELECT greatest(e.start_time, v_from) AS from_time, least(e.end_time, v_to) AS to_time
      FROM execution e
      WHERE e.sandbox_id = v_sandbox.sandbox_id AND e.execution_id <> p_execution_id AND e.start_time < v_to
        AND coalesce(e.end_time, 'infinity'::timestamptz) > v_from
        AND (e.end_time IS NULL OR e.end_time > e.start_time)
      UNION ALL VALUES (v_from, v_to)
    ), edge AS (
      SELECT from_time AS at, 1 AS step FROM ran
      UNION ALL SELECT to_time, -1 FROM ran
    ), stretch AS (
      -- Between two edges the number of executions stands still.
      SELECT at, lead(at) OVER (ORDER BY at) AS until, sum(sum(step)) OVER (ORDER BY at) AS running FROM edge GROUP BY at
    )
    -- nano-USD = USD * 10^9; a microsecond is 10^-6 s, a MiB-microsecond 10^-6 / 1024 GiB s.
    SELECT
      sum((v.usd_per_second * 1000
           + CASE v.basis WHEN 'ALLOCATED' THEN
               v.usd_per_core_second * v_sandbox.cpu_cores * 1000 + v.usd_per_gib_second * v_sandbox.memory_mib * 0.9765625
             ELSE 0 END)
          * ledger_micros(greatest(stretch.at, v.start_time), least(stretch.until, v.end_time)) / stretch.running)
      -- By measurement an execution's own processor time is known, its part of the memory is not.
      + coalesce(p_cpu_micros * 1000 * max(v.usd_per_core_second) FILTER (WHERE v.basis = 'MEASURED'), 0)
    INTO v_open
    FROM stretch
    JOIN price_version v ON v.tier = v_sandbox.tier AND v.start_time < stretch.until
      AND (v.end_time IS NULL OR v.end_time > stretch.at)
    WHERE stretch.running > 0;
  END IF;
  RETURN coalesce(v_booked, 0) + ledger_round(coalesce(v_open, 0));
END
$$;
COMMENT ON FUNCTION ledger_execution_cost IS
  'Nano-USD of an execution so far: what is booked, and its share of the time since then. By allocation that is what will be booked, but for rounding; by measurement, with the processor time given, memory is left out.';

CREATE FUNCTION execution_finish(
  p_execution_id text, p_end_time timestamptz, p_reason text, p_exit_code int, p_signal int, p_cpu_micros bigint,
  p_peak_memory_bytes bigint, p_last_sequence bigint, p_stdout_bytes bigint, p_stdout_hash bytea, p_stderr_bytes bigint,
  p_stderr_hash bytea, p_key_id text, p_agent_id text, p_remote_address text, p_user_agent text
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
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
    v_execution.tenant_id, p_end_time, p_key_id, v_sandbox.user_id, coalesce(v_sandbox.agent_id, p_agent_id),
    p_remote_address, p_user_agent, 'run_' || v_execution.kind, v_execution.sandbox_id, p_execution_id,
    v_sandbox.conversation_id, v_sandbox.path, v_sandbox.task_id, v_execution.code_hash, p_stdout_hash, p_stderr_hash,
    p_exit_code, ledger_micros(v_execution.start_time, p_end_time) / 1000, p_cpu_micros, p_peak_memory_bytes, v_cost,
    CASE p_reason WHEN 'COMPLETED' THEN 'ok' ELSE p_reason END, NULL);
  RETURN v_cost;
END
$$;
COMMENT ON FUNCTION execution_finish IS
  'Writes down how an execution ended, what it cost and its audit event, by whoever is named; returns the cost in nano-USD. Null, and nothing is changed, when another end is known already.';
