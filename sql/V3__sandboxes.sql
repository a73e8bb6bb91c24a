-- What runs, and what was run in it.

CREATE TABLE sandbox (
  sandbox_id          text        NOT NULL,
  tenant_id           text        NOT NULL,
  request_id          uuid        NOT NULL,
  request_hash        bytea       NOT NULL,
  template            text        NOT NULL,
  tier                text        NOT NULL,
  engine              text        NOT NULL,
  node_id             text        NOT NULL,
  generation          bigint      NOT NULL,
  state               text        NOT NULL,
  cpu_cores           int         NOT NULL,
  memory_mib          int         NOT NULL,
  disk_mib            int         NOT NULL,
  timeout_ms          bigint      NOT NULL,
  metadata            jsonb       NOT NULL,
  organisation_id     text,
  user_id             text,
  conversation_id     text,
  path                text,
  agent_id            text,
  task_id             text,
  correlation_id      text,
  workflow_id         text,
  key_id              text        NOT NULL,
  create_time         timestamptz NOT NULL,
  start_time          timestamptz,
  expire_time         timestamptz,
  end_time            timestamptz,
  end_reason          text,
  failure_message     text,
  paid_until          timestamptz NOT NULL,
  metered_until       timestamptz,
  cpu_micros          bigint,
  memory_mib_millis   bigint,
  peak_memory_bytes   bigint,
  command_count       bigint      NOT NULL DEFAULT 0,
  accounted_cpu_micros        bigint         NOT NULL DEFAULT 0,
  accounted_memory_mib_millis bigint         NOT NULL DEFAULT 0,
  exact_cost_nano_usd         numeric(42,22) NOT NULL DEFAULT 0,
  cost_nano_usd               bigint         NOT NULL DEFAULT 0,
  CONSTRAINT sandbox_pk PRIMARY KEY (sandbox_id),
  CONSTRAINT sandbox_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenant,
  CONSTRAINT sandbox_template_fk FOREIGN KEY (template) REFERENCES template,
  CONSTRAINT sandbox_key_fk FOREIGN KEY (key_id) REFERENCES api_key,
  CONSTRAINT sandbox_request_id_uq UNIQUE (tenant_id, request_id),
  CONSTRAINT sandbox_id_check CHECK (sandbox_id ~ '^[a-z0-9]{20}$'),
  CONSTRAINT sandbox_request_hash_check CHECK (octet_length(request_hash) = 32),
  CONSTRAINT sandbox_tier_check CHECK (tier IN ('standard', 'high-memory', 'gpu')),
  CONSTRAINT sandbox_generation_check CHECK (generation >= 1),
  CONSTRAINT sandbox_state_check CHECK (state IN ('PENDING', 'RUNNING', 'PAUSED', 'STOPPING', 'TERMINATED', 'FAILED')),
  CONSTRAINT sandbox_started_check CHECK (state IN ('PENDING', 'TERMINATED', 'FAILED', 'STOPPING') OR (start_time IS NOT NULL AND expire_time IS NOT NULL)),
  CONSTRAINT sandbox_ended_check CHECK ((state IN ('TERMINATED', 'FAILED')) = (end_time IS NOT NULL)),
  CONSTRAINT sandbox_size_check CHECK (cpu_cores BETWEEN 1 AND 64 AND memory_mib BETWEEN 1 AND 1048576 AND disk_mib >= 1),
  CONSTRAINT sandbox_timeout_ms_check CHECK (timeout_ms >= 1),
  CONSTRAINT sandbox_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
  CONSTRAINT sandbox_start_time_check CHECK (start_time >= create_time),
  CONSTRAINT sandbox_expire_time_check CHECK (expire_time > create_time),
  CONSTRAINT sandbox_end_time_check CHECK (end_time >= coalesce(start_time, create_time)),
  CONSTRAINT sandbox_end_reason_check CHECK (
    end_reason IN ('TERMINATED', 'TIMEOUT', 'BUDGET_EXHAUSTED', 'OUT_OF_MEMORY', 'ENGINE_FAILED', 'ORPHANED')),
  CONSTRAINT sandbox_usage_check CHECK (
    cpu_micros >= 0 AND memory_mib_millis >= 0 AND peak_memory_bytes >= 0 AND command_count >= 0
    AND accounted_cpu_micros >= 0 AND accounted_memory_mib_millis >= 0),
  CONSTRAINT sandbox_cost_check CHECK (cost_nano_usd >= 0 AND exact_cost_nano_usd >= 0)
) WITH (fillfactor = 70);
CREATE INDEX sandbox_tenant_idx ON sandbox (tenant_id, create_time DESC, sandbox_id DESC);
CREATE INDEX sandbox_agent_idx ON sandbox (tenant_id, agent_id, create_time DESC, sandbox_id DESC) WHERE agent_id IS NOT NULL;
CREATE INDEX sandbox_live_idx ON sandbox (node_id, expire_time) WHERE state NOT IN ('TERMINATED', 'FAILED');
CREATE INDEX sandbox_paid_until_idx ON sandbox (paid_until) WHERE state NOT IN ('TERMINATED', 'FAILED');
COMMENT ON TABLE sandbox IS 'One row for each sandbox that was ever admitted.';
COMMENT ON COLUMN sandbox.sandbox_id IS '20 lower-case letters and digits; made by the server.';
COMMENT ON COLUMN sandbox.tenant_id IS 'Who is billed; from the caller''s key.';
COMMENT ON COLUMN sandbox.request_id IS 'Made by the client; makes the create repeatable.';
COMMENT ON COLUMN sandbox.request_hash IS 'SHA-256 of the create request without its id.';
COMMENT ON COLUMN sandbox.template IS 'What it was made from.';
COMMENT ON COLUMN sandbox.tier IS 'The price tier, copied from the template at creation.';
COMMENT ON COLUMN sandbox.engine IS 'The engine that runs it, copied from the template at creation.';
COMMENT ON COLUMN sandbox.node_id IS 'The server that owns it; from that server''s configuration.';
COMMENT ON COLUMN sandbox.generation IS 'From 1; raised when another owner claims it, so that the old one''s writes are refused.';
COMMENT ON COLUMN sandbox.state IS 'PENDING, RUNNING, PAUSED, STOPPING, TERMINATED or FAILED; changed by compare-and-set only.';
COMMENT ON COLUMN sandbox.cpu_cores IS 'Cores it may use.';
COMMENT ON COLUMN sandbox.memory_mib IS 'MiB of memory it may use.';
COMMENT ON COLUMN sandbox.disk_mib IS 'MiB of files it may have.';
COMMENT ON COLUMN sandbox.timeout_ms IS 'Milliseconds from its creation to its expiry, as asked for.';
COMMENT ON COLUMN sandbox.metadata IS 'The caller''s labels: an object of strings.';
COMMENT ON COLUMN sandbox.organisation_id IS 'For whom it runs; from the caller, fixed at creation, as the next seven.';
COMMENT ON COLUMN sandbox.user_id IS 'The user on whose behalf the agent works.';
COMMENT ON COLUMN sandbox.conversation_id IS 'The conversation.';
COMMENT ON COLUMN sandbox.path IS 'The path within the conversation.';
COMMENT ON COLUMN sandbox.agent_id IS 'The agent; from the key where that is bound to one.';
COMMENT ON COLUMN sandbox.task_id IS 'The task.';
COMMENT ON COLUMN sandbox.correlation_id IS 'Ties together calls of one origin across systems.';
COMMENT ON COLUMN sandbox.workflow_id IS 'The workflow.';
COMMENT ON COLUMN sandbox.key_id IS 'The key it was created with.';
COMMENT ON COLUMN sandbox.create_time IS 'When it was admitted; billing clock.';
COMMENT ON COLUMN sandbox.start_time IS 'When it became RUNNING and its bill began; billing clock; null before.';
COMMENT ON COLUMN sandbox.expire_time IS 'When its timeout ends it; billing clock; null while that is not known.';
COMMENT ON COLUMN sandbox.end_time IS 'When it was gone; billing clock; null before.';
COMMENT ON COLUMN sandbox.end_reason IS 'Why it ended; null while it lives.';
COMMENT ON COLUMN sandbox.failure_message IS 'What went wrong, for people; null when nothing did.';
COMMENT ON COLUMN sandbox.paid_until IS 'End of the lease: until then its time is held for; written by the ledger.';
COMMENT ON COLUMN sandbox.metered_until IS 'End of its last segment; null before the first; written by the ledger.';
COMMENT ON COLUMN sandbox.cpu_micros IS 'Microseconds of processor time as last read from the engine; null when never measured; written by the ledger.';
COMMENT ON COLUMN sandbox.memory_mib_millis IS 'Memory used over time, in MiB-milliseconds, as last read; null when never measured; written by the ledger.';
COMMENT ON COLUMN sandbox.peak_memory_bytes IS 'Most bytes of memory used at once, as last read; null when never measured; written by the ledger.';
COMMENT ON COLUMN sandbox.command_count IS 'Executions started in it.';
COMMENT ON COLUMN sandbox.accounted_cpu_micros IS 'Microseconds of processor time that segments account for, by measurement or for want of one by allocation; written by the ledger.';
COMMENT ON COLUMN sandbox.accounted_memory_mib_millis IS 'MiB-milliseconds of memory that segments account for, in the same way; written by the ledger.';
COMMENT ON COLUMN sandbox.exact_cost_nano_usd IS 'Unrounded nano-USD of all its segments; written by the ledger.';
COMMENT ON COLUMN sandbox.cost_nano_usd IS 'Nano-USD of all its cost records: the exact cost rounded half to even; written by the ledger.';
GRANT SELECT, INSERT, UPDATE ON sandbox TO sandkeeper_server;

CREATE TABLE execution (
  execution_id      text        NOT NULL,
  sandbox_id        text        NOT NULL,
  tenant_id         text        NOT NULL,
  request_id        uuid        NOT NULL,
  request_hash      bytea       NOT NULL,
  kind              text        NOT NULL,
  language          text,
  state             text        NOT NULL,
  reason            text,
  start_time        timestamptz NOT NULL,
  end_time          timestamptz,
  exit_code         int,
  signal            int,
  cpu_micros        bigint,
  peak_memory_bytes bigint,
  stdout_bytes      bigint      NOT NULL DEFAULT 0,
  stderr_bytes      bigint      NOT NULL DEFAULT 0,
  code_hash         bytea       NOT NULL,
  stdout_hash       bytea,
  stderr_hash       bytea,
  last_sequence     bigint      NOT NULL DEFAULT 0,
  cost_nano_usd     bigint,
  CONSTRAINT execution_pk PRIMARY KEY (execution_id),
  CONSTRAINT execution_sandbox_fk FOREIGN KEY (sandbox_id) REFERENCES sandbox,
  CONSTRAINT execution_request_id_uq UNIQUE (tenant_id, request_id),
  CONSTRAINT execution_id_check CHECK (execution_id ~ '^[a-z0-9]{20}$'),
  CONSTRAINT execution_request_hash_check CHECK (octet_length(request_hash) = 32),
  CONSTRAINT execution_kind_check CHECK (kind IN ('command', 'code')),
  CONSTRAINT execution_language_check CHECK ((kind = 'code') = (language IS NOT NULL)),
  CONSTRAINT execution_state_check CHECK (state IN ('RUNNING', 'FINISHED')),
  CONSTRAINT execution_finished_check CHECK ((state = 'FINISHED') = (end_time IS NOT NULL) AND (state = 'FINISHED') = (reason IS NOT NULL)),
  CONSTRAINT execution_reason_check CHECK (
    reason IN ('COMPLETED', 'DEADLINE', 'SIGNALED', 'OUT_OF_MEMORY', 'SANDBOX_ENDED', 'NOT_STARTED', 'LOST')),
  CONSTRAINT execution_end_time_check CHECK (end_time >= start_time),
  CONSTRAINT execution_exit_code_check CHECK (exit_code BETWEEN 0 AND 255),
  CONSTRAINT execution_signal_check CHECK (signal BETWEEN 1 AND 64),
  CONSTRAINT execution_usage_check CHECK (
    cpu_micros >= 0 AND peak_memory_bytes >= 0 AND stdout_bytes >= 0 AND stderr_bytes >= 0 AND last_sequence >= 0),
  CONSTRAINT execution_hash_check CHECK (
    octet_length(code_hash) = 32 AND octet_length(stdout_hash) = 32 AND octet_length(stderr_hash) = 32),
  CONSTRAINT execution_cost_check CHECK (cost_nano_usd >= 0)
);
CREATE INDEX execution_sandbox_idx ON execution (sandbox_id, start_time DESC, execution_id DESC);
-- The ledger looks for what overlaps a segment: all that ended after its start or runs still.
CREATE INDEX execution_overlap_idx ON execution (sandbox_id, (coalesce(end_time, 'infinity'::timestamptz)));
CREATE INDEX execution_running_idx ON execution (sandbox_id) WHERE state = 'RUNNING';
COMMENT ON TABLE execution IS 'One row for each command or piece of code that was run in a sandbox.';
COMMENT ON COLUMN execution.execution_id IS '20 lower-case letters and digits; made by the server.';
COMMENT ON COLUMN execution.sandbox_id IS 'Where it ran.';
COMMENT ON COLUMN execution.tenant_id IS 'The sandbox''s tenant.';
COMMENT ON COLUMN execution.request_id IS 'Made by the client; makes the call repeatable.';
COMMENT ON COLUMN execution.request_hash IS 'SHA-256 of the request without its id.';
COMMENT ON COLUMN execution.kind IS 'command or code.';
COMMENT ON COLUMN execution.language IS 'Language of the code; null for a command.';
COMMENT ON COLUMN execution.state IS 'RUNNING or FINISHED.';
COMMENT ON COLUMN execution.reason IS 'How it ended; null while it runs.';
COMMENT ON COLUMN execution.start_time IS 'When it was started; billing clock; its share of the cost begins.';
COMMENT ON COLUMN execution.end_time IS 'When it was over; billing clock; null while it runs.';
COMMENT ON COLUMN execution.exit_code IS '0 to 255; null when it did not exit by itself or that is not known.';
COMMENT ON COLUMN execution.signal IS 'The signal that ended it; null when none did.';
COMMENT ON COLUMN execution.cpu_micros IS 'Microseconds of processor time of its process tree, from the engine; null when not measured.';
COMMENT ON COLUMN execution.peak_memory_bytes IS 'Most bytes resident in any one of its processes, from the engine; null when not measured.';
COMMENT ON COLUMN execution.stdout_bytes IS 'Bytes it wrote to standard output.';
COMMENT ON COLUMN execution.stderr_bytes IS 'Bytes it wrote to standard error.';
COMMENT ON COLUMN execution.code_hash IS 'SHA-256 of the code or the command.';
COMMENT ON COLUMN execution.stdout_hash IS 'SHA-256 of all it wrote to standard output; null while it runs or when not known.';
COMMENT ON COLUMN execution.stderr_hash IS 'SHA-256 of all it wrote to standard error; null while it runs or when not known.';
COMMENT ON COLUMN execution.last_sequence IS 'Number of its last event; 0 before the first.';
COMMENT ON COLUMN execution.cost_nano_usd IS 'Nano-USD as its finished event said; what is billed is in cost_record.';
GRANT SELECT, INSERT, UPDATE ON execution TO sandkeeper_server;
