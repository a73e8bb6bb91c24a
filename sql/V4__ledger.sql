-- The books: money set aside, time metered, cost booked. Money is nano-USD.

CREATE TABLE hold (
  hold_id             bigint         GENERATED ALWAYS AS IDENTITY,
  tenant_id           text           NOT NULL,
  request_id          uuid           NOT NULL,
  sandbox_id          text           NOT NULL,
  state               text           NOT NULL,
  tier                text           NOT NULL,
  cpu_cores           int            NOT NULL,
  memory_mib          int            NOT NULL,
  stop_time_ms        bigint         NOT NULL,
  from_time           timestamptz    NOT NULL,
  until_time          timestamptz    NOT NULL,
  exact_cost_nano_usd numeric(42,22) NOT NULL DEFAULT 0,
  amount_nano_usd     bigint         NOT NULL,
  create_time         timestamptz    NOT NULL,
  end_time            timestamptz,
  end_reason          text,
  CONSTRAINT hold_pk PRIMARY KEY (hold_id),
  CONSTRAINT hold_request_id_uq UNIQUE (tenant_id, request_id),
  -- The hold is made first, so that equal requests wait for each other; the sandbox follows in the same transaction.
  CONSTRAINT hold_sandbox_fk FOREIGN KEY (sandbox_id) REFERENCES sandbox DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT hold_state_check CHECK (state IN ('OPEN', 'SETTLED', 'RELEASED')),
  CONSTRAINT hold_ended_check CHECK ((state = 'OPEN') = (end_time IS NULL)),
  CONSTRAINT hold_span_check CHECK (until_time >= from_time),
  CONSTRAINT hold_stop_time_ms_check CHECK (stop_time_ms >= 0),
  CONSTRAINT hold_amount_check CHECK (amount_nano_usd >= 0)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX hold_open_sandbox_uq ON hold (sandbox_id) WHERE state = 'OPEN';
CREATE INDEX hold_open_tenant_idx ON hold (tenant_id) WHERE state = 'OPEN';
CREATE INDEX hold_sandbox_idx ON hold (sandbox_id);
COMMENT ON TABLE hold IS 'Money set aside before it is spent, for the lease of a sandbox and the time to stop it. Ends exactly once.';
COMMENT ON COLUMN hold.hold_id IS 'Made by the database.';
COMMENT ON COLUMN hold.tenant_id IS 'Whose limits it charges.';
COMMENT ON COLUMN hold.request_id IS 'The request that was admitted; a second one with the same id waits here and finds the first.';
COMMENT ON COLUMN hold.sandbox_id IS 'What it pays for; at most one open hold each.';
COMMENT ON COLUMN hold.state IS 'OPEN, then SETTLED (it ran, and was booked) or RELEASED (it never ran).';
COMMENT ON COLUMN hold.tier IS 'The price tier it was computed with.';
COMMENT ON COLUMN hold.cpu_cores IS 'Cores it was computed with.';
COMMENT ON COLUMN hold.memory_mib IS 'MiB of memory it was computed with.';
COMMENT ON COLUMN hold.stop_time_ms IS 'Milliseconds paid on top of the lease, to stop in; from the configuration at admission.';
COMMENT ON COLUMN hold.from_time IS 'Start of the time it covers; moves on as segments are booked.';
COMMENT ON COLUMN hold.until_time IS 'End of the time it covers: the end of the lease and the time to stop.';
COMMENT ON COLUMN hold.exact_cost_nano_usd IS 'Unrounded cost of the sandbox at from_time: rounding goes on from there.';
COMMENT ON COLUMN hold.amount_nano_usd IS 'Nano-USD held for that time at full allocation; kept as it was when the hold ended.';
COMMENT ON COLUMN hold.create_time IS 'When it was admitted; billing clock.';
COMMENT ON COLUMN hold.end_time IS 'When it was settled or released; billing clock; null while open.';
COMMENT ON COLUMN hold.end_reason IS 'Why, in the word given to settle; null while open or when released.';
GRANT SELECT, INSERT, UPDATE, DELETE ON hold TO sandkeeper_server;

CREATE TABLE hold_limit (
  hold_id         bigint      NOT NULL,
  limit_id        bigint      NOT NULL,
  period_start    timestamptz NOT NULL,
  amount_nano_usd bigint      NOT NULL,
  CONSTRAINT hold_limit_pk PRIMARY KEY (hold_id, limit_id, period_start),
  CONSTRAINT hold_limit_hold_fk FOREIGN KEY (hold_id) REFERENCES hold ON DELETE CASCADE,
  CONSTRAINT hold_limit_period_fk FOREIGN KEY (limit_id, period_start) REFERENCES quota_period ON DELETE CASCADE,
  CONSTRAINT hold_limit_amount_check CHECK (amount_nano_usd >= 0)
);
CREATE INDEX hold_limit_period_idx ON hold_limit (limit_id, period_start);
COMMENT ON TABLE hold_limit IS 'Which counters an open hold charged, and with how much. Gone when the hold ends.';
COMMENT ON COLUMN hold_limit.hold_id IS 'The open hold.';
COMMENT ON COLUMN hold_limit.limit_id IS 'The limit.';
COMMENT ON COLUMN hold_limit.period_start IS 'The period; a hold that crosses a boundary has a row on each side.';
COMMENT ON COLUMN hold_limit.amount_nano_usd IS 'Nano-USD in that period''s reserved.';
GRANT SELECT, INSERT, UPDATE, DELETE ON hold_limit TO sandkeeper_server;

CREATE TABLE usage_segment (
  sandbox_id               text           NOT NULL,
  from_time                timestamptz    NOT NULL,
  to_time                  timestamptz    NOT NULL,
  span                     tstzrange      NOT NULL GENERATED ALWAYS AS (tstzrange(from_time, to_time, '[)')) STORED,
  tenant_id                text           NOT NULL,
  price_version_id         bigint         NOT NULL,
  quality                  text           NOT NULL,
  lifetime_ms              bigint         NOT NULL,
  cpu_micros               bigint,
  memory_mib_millis        bigint,
  billed_cpu_micros        bigint         NOT NULL,
  billed_cpu_source        text           NOT NULL,
  billed_memory_mib_millis bigint         NOT NULL,
  billed_memory_source     text           NOT NULL,
  exact_cost_nano_usd      numeric(42,22) NOT NULL,
  amount_nano_usd          bigint         NOT NULL,
  -- Not partitioned, so that the database itself refuses a second bill for the same instant.
  CONSTRAINT usage_segment_pk PRIMARY KEY (sandbox_id, span WITHOUT OVERLAPS),
  CONSTRAINT usage_segment_sandbox_fk FOREIGN KEY (sandbox_id) REFERENCES sandbox,
  CONSTRAINT usage_segment_quality_check CHECK (quality IN ('MEASURED', 'ESTIMATED')),
  CONSTRAINT usage_segment_lifetime_ms_check CHECK (lifetime_ms > 0 AND lifetime_ms = extract(epoch FROM to_time - from_time) * 1000),
  CONSTRAINT usage_segment_hour_check CHECK (to_time <= date_bin('1 hour', from_time, '1970-01-01 00:00:00+00') + interval '1 hour'),
  CONSTRAINT usage_segment_usage_check CHECK (
    cpu_micros >= 0 AND memory_mib_millis >= 0 AND billed_cpu_micros >= 0 AND billed_memory_mib_millis >= 0),
  CONSTRAINT usage_segment_source_check CHECK (
    billed_cpu_source IN ('ALLOCATED', 'MEASURED') AND billed_memory_source IN ('ALLOCATED', 'MEASURED')),
  CONSTRAINT usage_segment_amount_check CHECK (amount_nano_usd >= 0 AND exact_cost_nano_usd >= 0)
);
COMMENT ON TABLE usage_segment IS
  'What a sandbox used in a span of its running life; contiguous; split at full hours (where every period begins) and at price changes. Append-only.';
COMMENT ON COLUMN usage_segment.sandbox_id IS 'The sandbox.';
COMMENT ON COLUMN usage_segment.from_time IS 'Start, inclusive, in whole milliseconds; billing clock.';
COMMENT ON COLUMN usage_segment.to_time IS 'End, exclusive, in whole milliseconds; billing clock.';
COMMENT ON COLUMN usage_segment.span IS 'from_time to to_time, for the key against overlap.';
COMMENT ON COLUMN usage_segment.tenant_id IS 'The sandbox''s tenant.';
COMMENT ON COLUMN usage_segment.price_version_id IS
  'The price it was computed with. No foreign key: every bill would lock the same row; price versions cannot be deleted.';
COMMENT ON COLUMN usage_segment.quality IS 'MEASURED, or ESTIMATED when nobody saw the end and it was taken from what was paid.';
COMMENT ON COLUMN usage_segment.lifetime_ms IS 'Milliseconds of the span.';
COMMENT ON COLUMN usage_segment.cpu_micros IS 'Microseconds of processor time used in it, from the engine; null when not measured.';
COMMENT ON COLUMN usage_segment.memory_mib_millis IS 'MiB-milliseconds of memory used in it, from the engine; null when not measured.';
COMMENT ON COLUMN usage_segment.billed_cpu_micros IS 'Microseconds of processor time that are billed.';
COMMENT ON COLUMN usage_segment.billed_cpu_source IS 'ALLOCATED or MEASURED; allocated also where a measured price found no measurement.';
COMMENT ON COLUMN usage_segment.billed_memory_mib_millis IS 'MiB-milliseconds of memory that are billed.';
COMMENT ON COLUMN usage_segment.billed_memory_source IS 'As billed_cpu_source.';
COMMENT ON COLUMN usage_segment.exact_cost_nano_usd IS 'Unrounded nano-USD: the billed quantities times the price.';
COMMENT ON COLUMN usage_segment.amount_nano_usd IS
  'Nano-USD booked: the exact cost of the sandbox up to its end, rounded half to even, less what earlier segments booked.';
GRANT SELECT, INSERT ON usage_segment TO sandkeeper_server;

CREATE TABLE cost_record (
  cost_record_id  bigint      GENERATED ALWAYS AS IDENTITY,
  kind            text        NOT NULL,
  tenant_id       text        NOT NULL,
  organisation_id text,
  user_id         text,
  conversation_id text,
  path            text,
  agent_id        text,
  task_id         text,
  correlation_id  text,
  workflow_id     text,
  sandbox_id      text        NOT NULL,
  execution_id    text,
  from_time       timestamptz NOT NULL,
  to_time         timestamptz NOT NULL,
  tier            text        NOT NULL,
  basis           text        NOT NULL,
  price_version_id bigint     NOT NULL,
  quality         text        NOT NULL,
  share_micros    bigint      NOT NULL,
  amount_nano_usd bigint      NOT NULL,
  record_time     timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Both keys hold the segment's start, so that the table can become a partition of one by month as it is.
  CONSTRAINT cost_record_pk PRIMARY KEY (cost_record_id, from_time),
  CONSTRAINT cost_record_share_uq UNIQUE NULLS NOT DISTINCT (sandbox_id, execution_id, from_time),
  CONSTRAINT cost_record_sandbox_fk FOREIGN KEY (sandbox_id) REFERENCES sandbox,
  CONSTRAINT cost_record_execution_fk FOREIGN KEY (execution_id) REFERENCES execution,
  CONSTRAINT cost_record_kind_check CHECK (kind IN ('USAGE')),
  CONSTRAINT cost_record_basis_check CHECK (basis IN ('ALLOCATED', 'MEASURED')),
  CONSTRAINT cost_record_quality_check CHECK (quality IN ('MEASURED', 'ESTIMATED')),
  CONSTRAINT cost_record_span_check CHECK (to_time > from_time),
  CONSTRAINT cost_record_share_micros_check CHECK (share_micros >= 0),
  CONSTRAINT cost_record_amount_check CHECK (amount_nano_usd >= 0)
);
CREATE INDEX cost_record_tenant_idx ON cost_record (tenant_id, from_time DESC, cost_record_id DESC);
CREATE INDEX cost_record_sandbox_idx ON cost_record (sandbox_id, from_time DESC, cost_record_id DESC);
CREATE INDEX cost_record_conversation_idx ON cost_record (tenant_id, conversation_id, from_time DESC, cost_record_id DESC)
  WHERE conversation_id IS NOT NULL;
CREATE INDEX cost_record_execution_idx ON cost_record (execution_id) WHERE execution_id IS NOT NULL;
COMMENT ON TABLE cost_record IS
  'The bill: for each segment one row per execution that ran in it, and one for the time in which none did. Append-only; corrections are new rows.';
COMMENT ON COLUMN cost_record.cost_record_id IS 'Made by the database.';
COMMENT ON COLUMN cost_record.kind IS 'USAGE: a share of a segment.';
COMMENT ON COLUMN cost_record.tenant_id IS 'Who is billed.';
COMMENT ON COLUMN cost_record.organisation_id IS 'For whom it ran; copied from the sandbox, as the next seven.';
COMMENT ON COLUMN cost_record.user_id IS 'The user.';
COMMENT ON COLUMN cost_record.conversation_id IS 'The conversation.';
COMMENT ON COLUMN cost_record.path IS 'The path within the conversation.';
COMMENT ON COLUMN cost_record.agent_id IS 'The agent.';
COMMENT ON COLUMN cost_record.task_id IS 'The task.';
COMMENT ON COLUMN cost_record.correlation_id IS 'Ties together calls of one origin across systems.';
COMMENT ON COLUMN cost_record.workflow_id IS 'The workflow.';
COMMENT ON COLUMN cost_record.sandbox_id IS 'The sandbox.';
COMMENT ON COLUMN cost_record.execution_id IS 'Whose share it is; null for the time in which nothing ran.';
COMMENT ON COLUMN cost_record.from_time IS 'Start of the segment, inclusive; it says which period the amount belongs to.';
COMMENT ON COLUMN cost_record.to_time IS 'End of the segment, exclusive.';
COMMENT ON COLUMN cost_record.tier IS 'The price tier.';
COMMENT ON COLUMN cost_record.basis IS 'The price''s basis: ALLOCATED or MEASURED.';
COMMENT ON COLUMN cost_record.price_version_id IS 'The price; no foreign key, as in usage_segment.';
COMMENT ON COLUMN cost_record.quality IS 'MEASURED or ESTIMATED, as the segment.';
COMMENT ON COLUMN cost_record.share_micros IS
  'Microseconds of the segment that are this row''s: n executions at once share them equally; the rows of a segment add up to it.';
COMMENT ON COLUMN cost_record.amount_nano_usd IS
  'Nano-USD: the segment''s amount divided by share_micros, by largest remainder, so that the rows add up to it.';
COMMENT ON COLUMN cost_record.record_time IS 'When it was written, by the database''s clock; for information, nothing is computed from it.';
GRANT SELECT, INSERT ON cost_record TO sandkeeper_server;
