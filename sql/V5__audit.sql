-- Who did what: one chain of hashes per tenant.

CREATE TABLE audit_head (
  tenant_id text   NOT NULL,
  sequence  bigint NOT NULL,
  hash      bytea  NOT NULL,
  CONSTRAINT audit_head_pk PRIMARY KEY (tenant_id),
  CONSTRAINT audit_head_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenant,
  CONSTRAINT audit_head_sequence_check CHECK (sequence >= 0),
  CONSTRAINT audit_head_hash_check CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 50);
COMMENT ON TABLE audit_head IS 'The end of each tenant''s chain; locked while an event is appended.';
COMMENT ON COLUMN audit_head.tenant_id IS 'The tenant.';
COMMENT ON COLUMN audit_head.sequence IS 'Sequence of the last event; 0 before the first.';
COMMENT ON COLUMN audit_head.hash IS 'Hash of the last event; 32 zero bytes before the first.';
GRANT SELECT ON audit_head TO sandkeeper_server;

CREATE TABLE audit_event (
  tenant_id         text        NOT NULL,
  sequence          bigint      NOT NULL,
  previous_hash     bytea       NOT NULL,
  hash              bytea       NOT NULL,
  hash_version      smallint    NOT NULL,
  event_time        timestamptz NOT NULL,
  key_id            text,
  user_id           text,
  agent_id          text,
  remote_address    text,
  user_agent        text,
  operation         text        NOT NULL,
  sandbox_id        text,
  execution_id      text,
  conversation_id   text,
  path              text,
  task_id           text,
  code_hash         bytea,
  stdout_hash       bytea,
  stderr_hash       bytea,
  exit_code         int,
  duration_ms       bigint,
  cpu_micros        bigint,
  peak_memory_bytes bigint,
  cost_nano_usd     bigint,
  outcome           text        NOT NULL,
  detail            text,
  CONSTRAINT audit_event_pk PRIMARY KEY (tenant_id, sequence),
  CONSTRAINT audit_event_head_fk FOREIGN KEY (tenant_id) REFERENCES audit_head,
  CONSTRAINT audit_event_sequence_check CHECK (sequence >= 1),
  CONSTRAINT audit_event_hash_check CHECK (octet_length(previous_hash) = 32 AND octet_length(hash) = 32),
  CONSTRAINT audit_event_hash_version_check CHECK (hash_version = 1),
  CONSTRAINT audit_event_operation_check CHECK (operation ~ '^[a-z][a-z_]{0,62}$'),
  CONSTRAINT audit_event_outcome_check CHECK (outcome ~ '^[A-Za-z][A-Za-z_]{0,62}$'),
  CONSTRAINT audit_event_usage_check CHECK (
    duration_ms >= 0 AND cpu_micros >= 0 AND peak_memory_bytes >= 0 AND cost_nano_usd >= 0)
);
CREATE INDEX audit_event_sandbox_idx ON audit_event (sandbox_id, sequence DESC) WHERE sandbox_id IS NOT NULL;
COMMENT ON TABLE audit_event IS 'One row for each operation, each sealed by a hash over itself and the row before. Append-only, by audit_append alone.';
COMMENT ON COLUMN audit_event.tenant_id IS 'In whose chain it stands.';
COMMENT ON COLUMN audit_event.sequence IS 'From 1 without gaps.';
COMMENT ON COLUMN audit_event.previous_hash IS 'Hash of the event before; 32 zero bytes for the first.';
COMMENT ON COLUMN audit_event.hash IS 'SHA-256 as audit_hash computes it.';
COMMENT ON COLUMN audit_event.hash_version IS 'Which fields the hash covers and how; 1: all of this table''s first definition.';
COMMENT ON COLUMN audit_event.event_time IS 'When it happened; billing clock.';
COMMENT ON COLUMN audit_event.key_id IS 'The key that acted; null when the server did by itself.';
COMMENT ON COLUMN audit_event.user_id IS 'The user, as the caller or the sandbox''s attribution names them.';
COMMENT ON COLUMN audit_event.agent_id IS 'The agent.';
COMMENT ON COLUMN audit_event.remote_address IS 'Where the call came from; null when the server acted by itself.';
COMMENT ON COLUMN audit_event.user_agent IS 'What the client calls itself.';
COMMENT ON COLUMN audit_event.operation IS 'What was done, such as create or run_code.';
COMMENT ON COLUMN audit_event.sandbox_id IS 'The sandbox.';
COMMENT ON COLUMN audit_event.execution_id IS 'The execution.';
COMMENT ON COLUMN audit_event.conversation_id IS 'The conversation.';
COMMENT ON COLUMN audit_event.path IS 'The path within the conversation.';
COMMENT ON COLUMN audit_event.task_id IS 'The task.';
COMMENT ON COLUMN audit_event.code_hash IS 'SHA-256 of the code or the command.';
COMMENT ON COLUMN audit_event.stdout_hash IS 'SHA-256 of all that was written to standard output.';
COMMENT ON COLUMN audit_event.stderr_hash IS 'SHA-256 of all that was written to standard error.';
COMMENT ON COLUMN audit_event.exit_code IS 'The exit code.';
COMMENT ON COLUMN audit_event.duration_ms IS 'Milliseconds it took.';
COMMENT ON COLUMN audit_event.cpu_micros IS 'Microseconds of processor time; null when not measured.';
COMMENT ON COLUMN audit_event.peak_memory_bytes IS 'Most bytes of memory; null when not measured.';
COMMENT ON COLUMN audit_event.cost_nano_usd IS 'Nano-USD; null when none is known.';
COMMENT ON COLUMN audit_event.outcome IS 'ok, or the reason it was refused or failed.';
COMMENT ON COLUMN audit_event.detail IS 'What was changed, or the path of a file; for people.';
GRANT SELECT ON audit_event TO sandkeeper_server;

CREATE FUNCTION audit_field(value text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN value IS NULL THEN '\x2d'::bytea
       ELSE convert_to(octet_length(convert_to(value, 'UTF8'))::text || ':', 'UTF8') || convert_to(value, 'UTF8') END;
COMMENT ON FUNCTION audit_field(text) IS 'One field as it is hashed: its length in bytes, a colon and its UTF-8 bytes; a hyphen when it is null.';

CREATE FUNCTION audit_hash(event audit_event) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sha256(
  (event).previous_hash
  || audit_field((event).hash_version::text)
  || audit_field((event).tenant_id)
  || audit_field((event).sequence::text)
  || audit_field((extract(epoch FROM (event).event_time) * 1000000)::bigint::text)
  || audit_field((event).key_id)
  || audit_field((event).user_id)
  || audit_field((event).agent_id)
  || audit_field((event).remote_address)
  || audit_field((event).user_agent)
  || audit_field((event).operation)
  || audit_field((event).sandbox_id)
  || audit_field((event).execution_id)
  || audit_field((event).conversation_id)
  || audit_field((event).path)
  || audit_field((event).task_id)
  || audit_field(encode((event).code_hash, 'hex'))
  || audit_field(encode((event).stdout_hash, 'hex'))
  || audit_field(encode((event).stderr_hash, 'hex'))
  || audit_field((event).exit_code::text)
  || audit_field((event).duration_ms::text)
  || audit_field((event).cpu_micros::text)
  || audit_field((event).peak_memory_bytes::text)
  || audit_field((event).cost_nano_usd::text)
  || audit_field((event).outcome)
  || audit_field((event).detail));
COMMENT ON FUNCTION audit_hash(audit_event) IS
  'SHA-256 over the previous hash (32 bytes) and the fields of version 1 in this order, each by audit_field; the time in microseconds since 1970.';

CREATE FUNCTION audit_append(
  p_tenant_id text, p_event_time timestamptz, p_key_id text, p_user_id text, p_agent_id text, p_remote_address text,
  p_user_agent text, p_operation text, p_sandbox_id text, p_execution_id text, p_conversation_id text, p_path text,
  p_task_id text, p_code_hash bytea, p_stdout_hash bytea, p_stderr_hash bytea, p_exit_code int, p_duration_ms bigint,
  p_cpu_micros bigint, p_peak_memory_bytes bigint, p_cost_nano_usd bigint, p_outcome text, p_detail text
) RETURNS bigint LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
  v_head  audit_head;
  v_event audit_event;
BEGIN
  SELECT * INTO v_head FROM audit_head WHERE tenant_id = p_tenant_id FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO audit_head VALUES (p_tenant_id, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
    SELECT * INTO v_head FROM audit_head WHERE tenant_id = p_tenant_id FOR UPDATE;
  END IF;
  v_event := ROW(
    p_tenant_id, v_head.sequence + 1, v_head.hash, NULL, 1, p_event_time, p_key_id, p_user_id, p_agent_id, p_remote_address,
    p_user_agent, p_operation, p_sandbox_id, p_execution_id, p_conversation_id, p_path, p_task_id, p_code_hash, p_stdout_hash,
    p_stderr_hash, p_exit_code, p_duration_ms, p_cpu_micros, p_peak_memory_bytes, p_cost_nano_usd, p_outcome, p_detail);
  v_event.hash := audit_hash(v_event);
  INSERT INTO audit_event SELECT (v_event).*;
  UPDATE audit_head SET sequence = v_event.sequence, hash = v_event.hash WHERE tenant_id = p_tenant_id;
  RETURN v_event.sequence;
END
$$;
COMMENT ON FUNCTION audit_append IS
  'Appends one event to its tenant''s chain and returns its sequence. The only way in: it runs as its owner, and callers may not write the table.';
REVOKE EXECUTE ON FUNCTION audit_append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_append TO sandkeeper_server;

CREATE FUNCTION audit_verify(p_tenant_id text)
RETURNS TABLE (event_count bigint, head_hash bytea, first_broken_sequence bigint) LANGUAGE sql STABLE AS $$
  WITH chain AS (
    SELECT e.sequence,
           row_number() OVER w AS expected_sequence,
           e.previous_hash = lag(e.hash, 1, decode(repeat('00', 32), 'hex')) OVER w AND e.hash = audit_hash(e) AS sound
    FROM audit_event e
    WHERE e.tenant_id = p_tenant_id
    WINDOW w AS (ORDER BY e.sequence)
  ), head AS (
    SELECT coalesce(max(h.sequence), 0) AS sequence, max(h.hash) AS hash FROM audit_head h WHERE h.tenant_id = p_tenant_id
  ), last_event AS (
    SELECT coalesce(max(e.sequence), 0) AS sequence,
           (SELECT l.hash FROM audit_event l WHERE l.tenant_id = p_tenant_id ORDER BY l.sequence DESC LIMIT 1) AS hash
    FROM audit_event e WHERE e.tenant_id = p_tenant_id
  )
  SELECT
    (SELECT count(*) FROM chain),
    head.hash,
    least(
      (SELECT min(expected_sequence) FROM chain WHERE sequence <> expected_sequence),
      (SELECT min(sequence) FROM chain WHERE NOT sound),
      CASE WHEN head.sequence > last_event.sequence THEN last_event.sequence + 1
           WHEN head.sequence < last_event.sequence THEN head.sequence + 1
           WHEN head.sequence > 0 AND head.hash <> last_event.hash THEN head.sequence END)
  FROM head, last_event
$$;
COMMENT ON FUNCTION audit_verify IS
  'Recomputes a tenant''s chain: how many events there are, the hash of the head (null before the first event), and the first sequence that is wrong or missing (null when all is sound).';
