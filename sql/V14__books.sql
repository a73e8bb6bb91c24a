-- The books: corrections and credits, cost records by month, sums by the hour, and months that are closed.

-- Kinds -------------------------------------------------------------------------------------------------------------------

CREATE TABLE adjustment (
  cost_record_id  bigint      NOT NULL,
  from_time       timestamptz NOT NULL,
  tenant_id       text        NOT NULL,
  request_id      uuid        NOT NULL,
  request_hash    bytea       NOT NULL,
  corrected_id    bigint,
  amount_nano_usd bigint      NOT NULL,
  reason          text        NOT NULL,
  create_time     timestamptz NOT NULL,
  CONSTRAINT adjustment_pk PRIMARY KEY (cost_record_id),
  CONSTRAINT adjustment_request_id_uq UNIQUE (tenant_id, request_id),
  CONSTRAINT adjustment_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenant,
  CONSTRAINT adjustment_request_hash_check CHECK (octet_length(request_hash) = 32),
  CONSTRAINT adjustment_amount_check CHECK (amount_nano_usd <> 0),
  CONSTRAINT adjustment_reason_check CHECK (reason <> '')
);
CREATE INDEX adjustment_corrected_idx ON adjustment (corrected_id) WHERE corrected_id IS NOT NULL;
COMMENT ON TABLE adjustment IS 'What was asked for where a cost record is no usage: a correction or a credit, and why. Append-only.';
COMMENT ON COLUMN adjustment.cost_record_id IS 'The record that books it, of the kind CORRECTION or CREDIT.';
COMMENT ON COLUMN adjustment.from_time IS 'That record''s from_time.';
COMMENT ON COLUMN adjustment.tenant_id IS 'Whose.';
COMMENT ON COLUMN adjustment.request_id IS 'The request; one with the same id is answered with the same record.';
COMMENT ON COLUMN adjustment.request_hash IS 'SHA-256 of the request, 32 bytes, to tell a repetition from another request.';
COMMENT ON COLUMN adjustment.corrected_id IS 'The record that a correction corrects; null for a credit.';
COMMENT ON COLUMN adjustment.amount_nano_usd IS 'Nano-USD, as in the record; negative where less is to be paid, as a credit always is.';
COMMENT ON COLUMN adjustment.reason IS 'Why, in the operator''s words.';
COMMENT ON COLUMN adjustment.create_time IS 'When it was made; billing clock.';
GRANT SELECT, INSERT ON adjustment TO sandkeeper_server;

-- A credit may come before what it pays for: it makes room beyond the limit.
ALTER TABLE quota_period
  DROP CONSTRAINT quota_period_counters_check,
  ADD CONSTRAINT quota_period_counters_check CHECK (reserved >= 0 AND excess >= 0);
COMMENT ON COLUMN quota_period.spent IS
  'Used for good, in the limit''s unit: for money the sum of the cost records in scope that start in the period, negative where credits exceed what was spent.';

-- Months ------------------------------------------------------------------------------------------------------------------

-- What there is becomes the default partition; ledger_make_months moves it to the months it is of.
ALTER TABLE cost_record RENAME TO cost_record_default;
ALTER TABLE cost_record_default
  DROP CONSTRAINT cost_record_pk,
  -- A month that is dropped would lock these two against everybody; nobody can delete from them.
  DROP CONSTRAINT cost_record_sandbox_fk,
  DROP CONSTRAINT cost_record_execution_fk,
  DROP CONSTRAINT cost_record_sound_check,
  DROP CONSTRAINT cost_record_state_check,
  ALTER COLUMN cost_record_id DROP IDENTITY,
  ALTER COLUMN quality DROP NOT NULL,
  ALTER COLUMN spend DROP DEFAULT,
  ADD COLUMN record_xid bigint NOT NULL DEFAULT 0;
DROP INDEX cost_record_share_uq, cost_record_hold_uq, cost_record_tenant_idx, cost_record_sandbox_idx, cost_record_conversation_idx,
  cost_record_execution_idx;
DROP FUNCTION cost_record_is_sound(cost_record_default);
REVOKE ALL ON cost_record_default FROM sandkeeper_server;

CREATE FUNCTION cost_record_is_sound(c anyelement) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN c.spend IN ('SANDBOX', 'LLM') AND CASE c.kind
    WHEN 'USAGE' THEN
      c.amount_nano_usd >= 0
      AND c.quality IS NOT NULL AND c.quality IN ('MEASURED', 'ESTIMATED')
      AND c.share_micros >= 0
      AND CASE c.spend
        WHEN 'SANDBOX' THEN
          c.to_time > c.from_time
          AND c.basis IN ('ALLOCATED', 'MEASURED')
          AND c.state IN ('RUNNING', 'PAUSED')
          AND num_nulls(c.sandbox_id, c.tier, c.basis, c.price_version_id, c.state) = 0
          AND num_nonnulls(c.hold_id, c.model, c.model_price_version_id, c.input_tokens, c.cached_input_tokens, c.output_tokens) = 0
        WHEN 'LLM' THEN
          c.to_time >= c.from_time
          AND num_nonnulls(c.sandbox_id, c.execution_id, c.tier, c.basis, c.price_version_id, c.state) = 0
          AND c.hold_id IS NOT NULL
          -- By tokens, or by an amount that the caller knows.
          AND num_nulls(c.model_price_version_id, c.input_tokens, c.cached_input_tokens, c.output_tokens) IN (0, 4)
          AND (c.model_price_version_id IS NULL OR c.model IS NOT NULL)
          AND coalesce(least(c.input_tokens, c.cached_input_tokens, c.output_tokens), 0) >= 0
        END
    WHEN 'CORRECTION' THEN
      c.amount_nano_usd <> 0
      AND c.share_micros = 0
      AND (c.sandbox_id IS NULL OR c.spend = 'SANDBOX')
      AND (c.hold_id IS NULL OR c.spend = 'LLM')
      AND num_nonnulls(c.quality, c.basis, c.price_version_id, c.state, c.model_price_version_id, c.input_tokens,
        c.cached_input_tokens, c.output_tokens) = 0
    WHEN 'CREDIT' THEN
      c.amount_nano_usd < 0
      AND c.share_micros = 0
      AND c.to_time = c.from_time
      AND num_nonnulls(c.sandbox_id, c.execution_id, c.tier, c.quality, c.basis, c.price_version_id, c.state, c.hold_id, c.model,
        c.model_price_version_id, c.input_tokens, c.cached_input_tokens, c.output_tokens) = 0
    ELSE false END;
END
$$;
COMMENT ON FUNCTION cost_record_is_sound IS
  'Whether a row of cost_record can be; one function for the reason given with execution_is_sound. Each partition has the check itself, as PostgreSQL hands none down that reads whole rows.';
ALTER TABLE cost_record_default ADD CONSTRAINT cost_record_sound_check CHECK (cost_record_is_sound(cost_record_default));

CREATE TABLE cost_record (LIKE cost_record_default INCLUDING COMMENTS) PARTITION BY RANGE (from_time);
ALTER TABLE cost_record
  ALTER COLUMN cost_record_id ADD GENERATED ALWAYS AS IDENTITY,
  ALTER COLUMN record_time SET DEFAULT clock_timestamp(),
  ALTER COLUMN record_xid SET DEFAULT pg_current_xact_id()::text::bigint;
SELECT setval(pg_get_serial_sequence('cost_record', 'cost_record_id'), coalesce(max(cost_record_id), 0) + 1, false) FROM cost_record_default;
ALTER TABLE cost_record ATTACH PARTITION cost_record_default DEFAULT;
-- All keys hold the start of the record, by which it is in its partition.
ALTER TABLE cost_record ADD CONSTRAINT cost_record_pk PRIMARY KEY (cost_record_id, from_time);
CREATE UNIQUE INDEX cost_record_share_uq ON cost_record (sandbox_id, execution_id, from_time) NULLS NOT DISTINCT
  WHERE spend = 'SANDBOX' AND kind = 'USAGE';
CREATE UNIQUE INDEX cost_record_hold_uq ON cost_record (hold_id, from_time) WHERE hold_id IS NOT NULL AND kind = 'USAGE';
CREATE INDEX cost_record_tenant_idx ON cost_record (tenant_id, from_time DESC, cost_record_id DESC);
CREATE INDEX cost_record_sandbox_idx ON cost_record (sandbox_id, from_time DESC, cost_record_id DESC) WHERE sandbox_id IS NOT NULL;
CREATE INDEX cost_record_conversation_idx ON cost_record (tenant_id, conversation_id, from_time DESC, cost_record_id DESC)
  WHERE conversation_id IS NOT NULL;
CREATE INDEX cost_record_execution_idx ON cost_record (execution_id) WHERE execution_id IS NOT NULL;
CREATE INDEX cost_record_xid_idx ON cost_record (record_xid);
GRANT SELECT, INSERT ON cost_record TO sandkeeper_server;
COMMENT ON TABLE cost_record IS
  'The bill: for each segment one row per execution that ran in it, and one for the time in which none did; one for each LLM spend; corrections and credits. Append-only. Partitioned by the month of from_time, in UTC; each partition is named for its month.';
COMMENT ON TABLE cost_record_default IS
  'Cost records of a month that has no partition yet, so that none is lost; ledger_make_months makes the month and moves them there.';
COMMENT ON COLUMN cost_record.kind IS
  'USAGE: a share of a segment, or an LLM spend. CORRECTION: of a record, whose from_time and attribution it has. CREDIT: given by the operator.';
COMMENT ON COLUMN cost_record.spend IS 'On what: SANDBOX, or LLM for a spend that others ran; of a credit what it is for.';
COMMENT ON COLUMN cost_record.from_time IS
  'Start of the segment, inclusive, when an LLM spend was reserved or when a credit was given; it says which period the amount belongs to.';
COMMENT ON COLUMN cost_record.to_time IS 'End of the segment, exclusive; when an LLM spend was settled; from_time of a credit.';
COMMENT ON COLUMN cost_record.quality IS 'MEASURED or ESTIMATED, as the segment; null but for USAGE, as basis and state.';
COMMENT ON COLUMN cost_record.amount_nano_usd IS
  'Nano-USD. A segment''s amount is divided by share_micros, by largest remainder, so that the rows add up to it. Negative where less is to be paid.';
COMMENT ON COLUMN cost_record.record_xid IS
  'The transaction that wrote it, as pg_current_xact_id counts them; 0 for those from before there was the column. Says whether it is rolled up.';

-- Hours -------------------------------------------------------------------------------------------------------------------

CREATE TABLE cost_progress (
  one          boolean     NOT NULL DEFAULT true,
  folded_below bigint      NOT NULL,
  closed_until timestamptz NOT NULL,
  CONSTRAINT cost_progress_pk PRIMARY KEY (one),
  CONSTRAINT cost_progress_one_check CHECK (one)
);
INSERT INTO cost_progress (folded_below, closed_until) VALUES (0, '-infinity');
COMMENT ON TABLE cost_progress IS 'How far cost records are rolled up, and months closed. One row.';
COMMENT ON COLUMN cost_progress.one IS 'Always true.';
COMMENT ON COLUMN cost_progress.folded_below IS
  'Each cost record with a record_xid below this is in cost_rollup_hour, and none else. No transaction below it was still running when it was set, so none can add one.';
COMMENT ON COLUMN cost_progress.closed_until IS
  'The end of the last month that was closed; before it there are no cost records and no segments, and none can be added. -infinity: none was.';
GRANT SELECT ON cost_progress TO sandkeeper_server;

CREATE TABLE cost_rollup_hour (
  tenant_id       text        NOT NULL,
  hour            timestamptz NOT NULL,
  group_hash      bytea       NOT NULL,
  organisation_id text,
  user_id         text,
  conversation_id text,
  agent_id        text,
  task_id         text,
  spend           text        NOT NULL,
  tier            text,
  model           text,
  amount_nano_usd bigint      NOT NULL,
  record_count    bigint      NOT NULL,
  CONSTRAINT cost_rollup_hour_pk PRIMARY KEY (tenant_id, hour, group_hash)
);
CREATE INDEX cost_rollup_hour_hour_idx ON cost_rollup_hour (hour);
COMMENT ON TABLE cost_rollup_hour IS
  'Sums of cost records of each kind by the hour, for reports. Made from the records, and can be made anew; of a month that is closed they are what is left.';
COMMENT ON COLUMN cost_rollup_hour.tenant_id IS 'Who is billed.';
COMMENT ON COLUMN cost_rollup_hour.hour IS 'Start of the hour of UTC that holds from_time of the records.';
COMMENT ON COLUMN cost_rollup_hour.group_hash IS 'SHA-256 of the next eight, 32 bytes: as long as an index takes, however long they are.';
COMMENT ON COLUMN cost_rollup_hour.organisation_id IS 'The organisation; null where the records have none, as the next four.';
COMMENT ON COLUMN cost_rollup_hour.user_id IS 'The user.';
COMMENT ON COLUMN cost_rollup_hour.conversation_id IS 'The conversation.';
COMMENT ON COLUMN cost_rollup_hour.agent_id IS 'The agent.';
COMMENT ON COLUMN cost_rollup_hour.task_id IS 'The task.';
COMMENT ON COLUMN cost_rollup_hour.spend IS 'SANDBOX or LLM.';
COMMENT ON COLUMN cost_rollup_hour.tier IS 'The price tier; null for LLM.';
COMMENT ON COLUMN cost_rollup_hour.model IS 'The model; null for SANDBOX.';
COMMENT ON COLUMN cost_rollup_hour.amount_nano_usd IS 'Sum of the records, nano-USD; may be negative.';
COMMENT ON COLUMN cost_rollup_hour.record_count IS 'How many records, at least 1.';
GRANT SELECT ON cost_rollup_hour TO sandkeeper_server;

-- Closed months -----------------------------------------------------------------------------------------------------------
-- What the invariants need of the records and segments that are dropped. Written once, by ledger_close_month; the server may only read.

CREATE TABLE cost_closing (
  month           timestamptz NOT NULL,
  tenant_id       text        NOT NULL,
  amount_nano_usd bigint      NOT NULL,
  record_count    bigint      NOT NULL,
  hours_hash      bytea       NOT NULL,
  close_time      timestamptz NOT NULL,
  CONSTRAINT cost_closing_pk PRIMARY KEY (month, tenant_id)
);
COMMENT ON TABLE cost_closing IS 'What a tenant''s cost records of a closed month came to.';
COMMENT ON COLUMN cost_closing.month IS 'Start of the month, UTC.';
COMMENT ON COLUMN cost_closing.tenant_id IS 'The tenant.';
COMMENT ON COLUMN cost_closing.amount_nano_usd IS 'Sum of the records, nano-USD.';
COMMENT ON COLUMN cost_closing.record_count IS 'How many records.';
COMMENT ON COLUMN cost_closing.hours_hash IS 'SHA-256 over the month''s rows of cost_rollup_hour, 32 bytes: the seal on what is left.';
COMMENT ON COLUMN cost_closing.close_time IS 'When the month was closed; billing clock.';
GRANT SELECT ON cost_closing TO sandkeeper_server;

CREATE TABLE quota_closing (
  limit_id     bigint      NOT NULL,
  period_start timestamptz NOT NULL,
  month        timestamptz NOT NULL,
  spent        bigint      NOT NULL,
  CONSTRAINT quota_closing_pk PRIMARY KEY (limit_id, period_start, month),
  CONSTRAINT quota_closing_period_fk FOREIGN KEY (limit_id, period_start) REFERENCES quota_period ON DELETE CASCADE
);
COMMENT ON TABLE quota_closing IS 'What of a counter''s spent was in cost records of a closed month; one row for each counter of money that had a part in the month.';
COMMENT ON COLUMN quota_closing.limit_id IS 'The limit.';
COMMENT ON COLUMN quota_closing.period_start IS 'The counter''s period.';
COMMENT ON COLUMN quota_closing.month IS 'Start of the closed month, UTC.';
COMMENT ON COLUMN quota_closing.spent IS 'Nano-USD.';
GRANT SELECT ON quota_closing TO sandkeeper_server;

CREATE TABLE sandbox_closing (
  sandbox_id          text           NOT NULL,
  month               timestamptz    NOT NULL,
  until_time          timestamptz    NOT NULL,
  paused_ms           bigint         NOT NULL,
  exact_cost_nano_usd numeric(42,22) NOT NULL,
  amount_nano_usd     bigint         NOT NULL,
  CONSTRAINT sandbox_closing_pk PRIMARY KEY (sandbox_id, month),
  CONSTRAINT sandbox_closing_sandbox_fk FOREIGN KEY (sandbox_id) REFERENCES sandbox
);
COMMENT ON TABLE sandbox_closing IS 'What a sandbox''s segments of a closed month came to.';
COMMENT ON COLUMN sandbox_closing.sandbox_id IS 'The sandbox.';
COMMENT ON COLUMN sandbox_closing.month IS 'Start of the closed month, UTC.';
COMMENT ON COLUMN sandbox_closing.until_time IS 'End of its last segment that began in the month.';
COMMENT ON COLUMN sandbox_closing.paused_ms IS 'Milliseconds of them in which it was paused.';
COMMENT ON COLUMN sandbox_closing.exact_cost_nano_usd IS 'Their unrounded cost, nano-USD.';
COMMENT ON COLUMN sandbox_closing.amount_nano_usd IS 'Sum of their cost records, corrections apart, nano-USD.';
GRANT SELECT ON sandbox_closing TO sandkeeper_server;
