-- An execution's start and its end, each one round trip and one commit: they are on the way of every call.

-- PostgreSQL parses the text of each CHECK anew in every statement that writes to its table, which for a row with a
-- dozen of them took longer than the rest of the statement. What may never be is told by one function per table.
CREATE FUNCTION execution_is_sound(e execution) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN e.execution_id ~ '^[a-z0-9]{20}$'
    AND octet_length(e.request_hash) = 32
    AND e.kind IN ('command', 'code')
    AND (e.kind = 'code') = (e.language IS NOT NULL)
    AND e.state IN ('RUNNING', 'FINISHED')
    AND (e.state = 'FINISHED') = (e.end_time IS NOT NULL)
    AND (e.state = 'FINISHED') = (e.reason IS NOT NULL)
    AND (e.reason IS NULL
      OR e.reason IN ('COMPLETED', 'DEADLINE', 'SIGNALED', 'OUT_OF_MEMORY', 'SANDBOX_ENDED', 'NOT_STARTED', 'LOST'))
    AND (e.end_time IS NULL OR e.end_time >= e.start_time)
    AND (e.exit_code IS NULL OR e.exit_code BETWEEN 0 AND 255)
    AND (e.signal IS NULL OR e.signal BETWEEN 1 AND 64)
    AND coalesce(e.cpu_micros, 0) >= 0
    AND coalesce(e.peak_memory_bytes, 0) >= 0
    AND e.stdout_bytes >= 0
    AND e.stderr_bytes >= 0
    AND e.last_sequence >= 0
    AND octet_length(e.code_hash) = 32
    AND coalesce(octet_length(e.stdout_hash), 32) = 32
    AND coalesce(octet_length(e.stderr_hash), 32) = 32
    AND coalesce(e.cost_nano_usd, 0) >= 0;
END
$$;
COMMENT ON FUNCTION execution_is_sound IS 'Whether a row of execution can be.';
ALTER TABLE execution
  DROP CONSTRAINT execution_id_check,
  DROP CONSTRAINT execution_request_hash_check,
  DROP CONSTRAINT execution_kind_check,
  DROP CONSTRAINT execution_language_check,
  DROP CONSTRAINT execution_state_check,
  DROP CONSTRAINT execution_finished_check,
  DROP CONSTRAINT execution_reason_check,
  DROP CONSTRAINT execution_end_time_check,
  DROP CONSTRAINT execution_exit_code_check,
  DROP CONSTRAINT execution_signal_check,
  DROP CONSTRAINT execution_usage_check,
  DROP CONSTRAINT execution_hash_check,
  DROP CONSTRAINT execution_cost_check,
  ADD CONSTRAINT execution_sound_check CHECK (execution_is_sound(execution));

CREATE FUNCTION audit_event_is_sound(e audit_event) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN e.sequence >= 1
    AND octet_length(e.previous_hash) = 32
    AND octet_length(e.hash) = 32
    AND e.hash_version = 1
    AND e.operation ~ '^[a-z][a-z_]{0,62}$'
    AND e.outcome ~ '^[A-Za-z][A-Za-z_]{0,62}$'
    AND coalesce(e.duration_ms, 0) >= 0
    AND coalesce(e.cpu_micros, 0) >= 0
    AND coalesce(e.peak_memory_bytes, 0) >= 0
    AND coalesce(e.cost_nano_usd, 0) >= 0;
END
$$;
COMMENT ON FUNCTION audit_event_is_sound IS 'Whether a row of audit_event can be.';
ALTER TABLE audit_event
  DROP CONSTRAINT audit_event_sequence_check,
  DROP CONSTRAINT audit_event_hash_check,
  DROP CONSTRAINT audit_event_hash_version_check,
  DROP CONSTRAINT audit_event_operation_check,
  DROP CONSTRAINT audit_event_outcome_check,
  DROP CONSTRAINT audit_event_usage_check,
  ADD CONSTRAINT audit_event_sound_check CHECK (audit_event_is_sound(audit_event));

-- How many there were is counted when it is asked for: a counter in the sandbox's row was written with every execution,
-- and made all those of one sandbox wait for each other.
ALTER TABLE sandbox DROP COLUMN command_count;
ALTER TABLE sandbox ADD CONSTRAINT sandbox_usage_check CHECK (
  cpu_micros >= 0 AND memory_mib_millis >= 0 AND peak_memory_bytes >= 0
  AND accounted_cpu_micros >= 0 AND accounted_memory_mib_millis >= 0);

CREATE FUNCTION execution_begin(
  p_execution_id text, p_sandbox_id text, p_request_id uuid, p_request_hash bytea, p_kind text, p_language text,
  p_start_time timestamptz, p_code_hash bytea, p_has_room boolean
) RETURNS TABLE (outcome text, execution_id text, request_hash bytea)
LANGUAGE plpgsql VOLATILE ROWS 1 SET plan_cache_mode = force_generic_plan AS $$
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
      execution_id, sandbox_id, tenant_id, request_id, request_hash, kind, language, state, start_time, code_hash)
    VALUES (
      p_execution_id, p_sandbox_id, v_tenant_id, p_request_id, p_request_hash, p_kind, p_language, 'RUNNING', p_start_time,
      p_code_hash)
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

-- Takes the place of one that divided all that its sandbox did since it was last metered: with every further execution
-- the next took longer. This one looks at the execution's own time only.
DROP FUNCTION ledger_execution_cost(text, timestamptz);

CREATE FUNCTION ledger_share_micros(p_sandbox_id text, p_execution_id text, p_from timestamptz, p_to timestamptz)
RETURNS numeric LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_others tstzrange[];
BEGIN
  -- The inner query by itself, or the planner may take the index by start, behind which is all that ever ran.
  WITH late AS MATERIALIZED (
    SELECT e.execution_id, e.start_time, e.end_time FROM execution e
    WHERE e.sandbox_id = p_sandbox_id AND coalesce(e.end_time, 'infinity'::timestamptz) > p_from
  )
  SELECT array_agg(tstzrange(greatest(start_time, p_from), least(end_time, p_to))) INTO v_others
  FROM late
  WHERE execution_id <> p_execution_id AND start_time < p_to AND (end_time IS NULL OR end_time > start_time);
  IF v_others IS NULL THEN
    RETURN ledger_micros(p_from, p_to);
  END IF;
  RETURN (
    WITH ran AS (
      SELECT unnest(v_others || tstzrange(p_from, p_to)) AS span
    ), edge AS (
      SELECT lower(span) AS at, 1 AS step FROM ran
      UNION ALL SELECT upper(span), -1 FROM ran
    ), stretch AS (
      -- Between two edges the number of executions stands still.
      SELECT sum(sum(step)) OVER (ORDER BY at) AS running, ledger_micros(at, lead(at) OVER (ORDER BY at)) AS micros
      FROM edge GROUP BY at
    )
    SELECT sum(micros / running) FROM stretch WHERE running > 0
  );
END
$$;
COMMENT ON FUNCTION ledger_share_micros IS
  'Microseconds of a span in which an execution runs throughout, each divided by the number of executions that run then.';

CREATE FUNCTION ledger_execution_cost(p_execution_id text, p_now timestamptz, p_cpu_micros bigint)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
  v_run    record;
  v_price  record;
  v_booked bigint := 0;
  v_open   numeric := 0;
BEGIN
  SELECT e.sandbox_id, e.start_time, least(e.end_time, p_now) AS to_time, greatest(e.start_time, s.metered_until) AS from_time,
         s.tier, s.cpu_cores, s.memory_mib, s.end_time IS NULL AS lives
  INTO STRICT v_run
  FROM execution e JOIN sandbox s USING (sandbox_id) WHERE e.execution_id = p_execution_id;
  IF v_run.from_time > v_run.start_time THEN
    SELECT coalesce(sum(c.amount_nano_usd), 0) INTO v_booked FROM cost_record c WHERE c.execution_id = p_execution_id;
  END IF;
  IF v_run.lives AND v_run.from_time < v_run.to_time THEN
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
            * ledger_micros(v_price.from_time, v_price.to_time) / ledger_micros(v_run.start_time, v_run.to_time)
          ELSE 0 END;
    END LOOP;
  END IF;
  RETURN v_booked + ledger_round(v_open);
END
$$;
COMMENT ON FUNCTION ledger_execution_cost IS
  'Nano-USD of an execution so far: what is booked, and its share of the time since then. By allocation that is what will be booked, but for rounding; by measurement, with the processor time given, memory is left out.';

CREATE FUNCTION execution_finish(
  p_execution_id text, p_end_time timestamptz, p_reason text, p_exit_code int, p_signal int, p_cpu_micros bigint,
  p_peak_memory_bytes bigint, p_last_sequence bigint, p_stdout_bytes bigint, p_stdout_hash bytea, p_stderr_bytes bigint,
  p_stderr_hash bytea, p_key_id text, p_agent_id text, p_remote_address text, p_user_agent text
) RETURNS bigint LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
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

-- The same hash in one expression: the function for one field, called for each, took longer than all else of an event.
CREATE OR REPLACE FUNCTION audit_hash(event audit_event) RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RETURN sha256(event.previous_hash || convert_to(
    coalesce(octet_length(event.hash_version::text) || ':' || event.hash_version::text, '-') ||
    coalesce(octet_length(event.tenant_id) || ':' || event.tenant_id, '-') ||
    coalesce(octet_length(event.sequence::text) || ':' || event.sequence::text, '-') ||
    coalesce(octet_length(((extract(epoch FROM event.event_time) * 1000000)::bigint)::text) || ':' || ((extract(epoch FROM event.event_time) * 1000000)::bigint)::text, '-') ||
    coalesce(octet_length(event.key_id) || ':' || event.key_id, '-') ||
    coalesce(octet_length(event.user_id) || ':' || event.user_id, '-') ||
    coalesce(octet_length(event.agent_id) || ':' || event.agent_id, '-') ||
    coalesce(octet_length(event.remote_address) || ':' || event.remote_address, '-') ||
    coalesce(octet_length(event.user_agent) || ':' || event.user_agent, '-') ||
    coalesce(octet_length(event.operation) || ':' || event.operation, '-') ||
    coalesce(octet_length(event.sandbox_id) || ':' || event.sandbox_id, '-') ||
    coalesce(octet_length(event.execution_id) || ':' || event.execution_id, '-') ||
    coalesce(octet_length(event.conversation_id) || ':' || event.conversation_id, '-') ||
    coalesce(octet_length(event.path) || ':' || event.path, '-') ||
    coalesce(octet_length(event.task_id) || ':' || event.task_id, '-') ||
    coalesce(octet_length(encode(event.code_hash, 'hex')) || ':' || encode(event.code_hash, 'hex'), '-') ||
    coalesce(octet_length(encode(event.stdout_hash, 'hex')) || ':' || encode(event.stdout_hash, 'hex'), '-') ||
    coalesce(octet_length(encode(event.stderr_hash, 'hex')) || ':' || encode(event.stderr_hash, 'hex'), '-') ||
    coalesce(octet_length(event.exit_code::text) || ':' || event.exit_code::text, '-') ||
    coalesce(octet_length(event.duration_ms::text) || ':' || event.duration_ms::text, '-') ||
    coalesce(octet_length(event.cpu_micros::text) || ':' || event.cpu_micros::text, '-') ||
    coalesce(octet_length(event.peak_memory_bytes::text) || ':' || event.peak_memory_bytes::text, '-') ||
    coalesce(octet_length(event.cost_nano_usd::text) || ':' || event.cost_nano_usd::text, '-') ||
    coalesce(octet_length(event.outcome) || ':' || event.outcome, '-') ||
    coalesce(octet_length(event.detail) || ':' || event.detail, '-'), 'UTF8'));
END
$$;
COMMENT ON FUNCTION audit_hash(audit_event) IS
  'SHA-256 over the previous hash (32 bytes) and the fields of version 1 in this order, as UTF-8: of each its length in bytes, a colon and its text; a hyphen when it is null. The time in microseconds since 1970.';
DROP FUNCTION audit_field(text);
