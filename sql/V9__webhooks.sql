-- Alerts by webhook. An alert is a row of the outbox, written in the transaction that gives cause for it, so it is there
-- exactly when its cause is. Servers send what is due, at least once; receivers tell repetitions by the event's id.

CREATE TABLE webhook (
  webhook_id     text        NOT NULL,
  tenant_id      text        NOT NULL,
  url            text        NOT NULL,
  secret         bytea       NOT NULL,
  create_time    timestamptz NOT NULL,
  resume_time    timestamptz NOT NULL,
  failure_count  int         NOT NULL DEFAULT 0,
  failing_since  timestamptz,
  disable_time   timestamptz,
  disable_reason text,
  CONSTRAINT webhook_pk PRIMARY KEY (webhook_id),
  CONSTRAINT webhook_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenant,
  CONSTRAINT webhook_id_check CHECK (webhook_id ~ '^[a-z0-9]{20}$'),
  CONSTRAINT webhook_url_check CHECK (url ~ '^https?://' AND octet_length(url) <= 2048),
  CONSTRAINT webhook_secret_check CHECK (octet_length(secret) BETWEEN 24 AND 64),
  CONSTRAINT webhook_failing_check CHECK (failure_count >= 0 AND (failure_count > 0) = (failing_since IS NOT NULL)),
  CONSTRAINT webhook_disable_reason_check CHECK (disable_reason IN ('GONE', 'FAILING')),
  CONSTRAINT webhook_disabled_check CHECK ((disable_time IS NULL) = (disable_reason IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX webhook_tenant_idx ON webhook (tenant_id, create_time DESC, webhook_id);
COMMENT ON TABLE webhook IS 'Where a tenant''s alerts are sent.';
COMMENT ON COLUMN webhook.webhook_id IS 'Made by the server.';
COMMENT ON COLUMN webhook.tenant_id IS 'Whose alerts it gets.';
COMMENT ON COLUMN webhook.url IS 'http or https, at most 2048 bytes; its host is resolved, and its addresses are checked, at each delivery.';
COMMENT ON COLUMN webhook.secret IS
  'The key that deliveries are signed with, as it is: signing takes the key itself, a hash would not do. Whoever reads it can forge alerts, so it is shown to callers once and never logged.';
COMMENT ON COLUMN webhook.create_time IS 'When it was made; billing clock.';
COMMENT ON COLUMN webhook.resume_time IS
  'Nothing is sent before: the end of the claim of the server that is sending, or of the pause after a failure; billing clock. A claim that is not given back ends by itself.';
COMMENT ON COLUMN webhook.failure_count IS 'Attempts that failed since the last that succeeded.';
COMMENT ON COLUMN webhook.failing_since IS 'When the first of them failed; billing clock; null when there is none.';
COMMENT ON COLUMN webhook.disable_time IS 'When it was disabled, for good; billing clock; null while it is enabled.';
COMMENT ON COLUMN webhook.disable_reason IS 'GONE: it answered 410. FAILING: nothing has succeeded for days. Null while it is enabled.';
GRANT SELECT, INSERT, DELETE, UPDATE (resume_time, failure_count, failing_since, disable_time, disable_reason)
  ON webhook TO sandkeeper_server;

CREATE TABLE outbox (
  event_id          uuid        NOT NULL DEFAULT uuidv7(),
  tenant_id         text        NOT NULL,
  webhook_id        text        NOT NULL,
  kind              text        NOT NULL,
  payload           text        NOT NULL,
  state             text        NOT NULL DEFAULT 'PENDING',
  create_time       timestamptz NOT NULL,
  next_attempt_time timestamptz NOT NULL,
  attempt_count     int         NOT NULL DEFAULT 0,
  last_error        text,
  end_time          timestamptz,
  CONSTRAINT outbox_pk PRIMARY KEY (event_id),
  CONSTRAINT outbox_webhook_fk FOREIGN KEY (webhook_id) REFERENCES webhook ON DELETE CASCADE,
  CONSTRAINT outbox_kind_check CHECK (kind ~ '^[a-z][a-z_]{0,62}$'),
  CONSTRAINT outbox_state_check CHECK (state IN ('PENDING', 'DELIVERED', 'FAILED')),
  CONSTRAINT outbox_ended_check CHECK ((state = 'PENDING') = (end_time IS NULL)),
  CONSTRAINT outbox_attempt_count_check CHECK (attempt_count >= 0)
) WITH (fillfactor = 70);
CREATE INDEX outbox_pending_idx ON outbox (webhook_id, next_attempt_time, event_id) WHERE state = 'PENDING';
CREATE INDEX outbox_ended_idx ON outbox (end_time) WHERE end_time IS NOT NULL;
CREATE INDEX outbox_tenant_idx ON outbox (tenant_id, create_time DESC, event_id DESC);
CREATE INDEX outbox_webhook_idx ON outbox (webhook_id, create_time DESC, event_id DESC);
COMMENT ON TABLE outbox IS
  'Alerts, one row for each webhook that gets one. The bounds on how many are pending, and for how long, are kept by the sender, so that adding one never waits and never fails; rows that have ended are deleted after a while.';
COMMENT ON COLUMN outbox.event_id IS 'Made by the database; the header webhook-id of each attempt, by which receivers tell repetitions.';
COMMENT ON COLUMN outbox.tenant_id IS 'Whom it is about; the webhook''s tenant.';
COMMENT ON COLUMN outbox.webhook_id IS 'Where it goes.';
COMMENT ON COLUMN outbox.kind IS 'What happened, such as limit_threshold; the type in the payload.';
COMMENT ON COLUMN outbox.payload IS
  'The body, a JSON object of type, timestamp and data. Text, not jsonb: its bytes are signed, and must be the same in each attempt.';
COMMENT ON COLUMN outbox.state IS 'PENDING, then DELIVERED (it was answered with success) or FAILED (given up).';
COMMENT ON COLUMN outbox.create_time IS 'When it happened; billing clock.';
COMMENT ON COLUMN outbox.next_attempt_time IS 'Not sent before; billing clock.';
COMMENT ON COLUMN outbox.attempt_count IS 'Attempts whose outcome is known.';
COMMENT ON COLUMN outbox.last_error IS 'Why the last attempt failed, or why it was given up; null while there was neither.';
COMMENT ON COLUMN outbox.end_time IS 'When it was delivered or given up; billing clock; null while pending.';
GRANT SELECT, INSERT, DELETE, UPDATE (state, next_attempt_time, attempt_count, last_error, end_time)
  ON outbox TO sandkeeper_server;

CREATE FUNCTION outbox_payload(p_kind text, p_data jsonb, p_time timestamptz) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN format('{"type":%s,"timestamp":"%s","data":%s}', to_json(p_kind),
  to_char(p_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), p_data);
COMMENT ON FUNCTION outbox_payload IS 'The body of an event: its kind, when it happened (UTC, in milliseconds), and what there is to know.';

CREATE FUNCTION alert_append(p_tenant_id text, p_kind text, p_payload jsonb, p_now timestamptz)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  -- The lock makes this wait for a deletion under way, and leave the webhook out, instead of failing by the foreign key.
  INSERT INTO outbox (tenant_id, webhook_id, kind, payload, create_time, next_attempt_time)
  SELECT w.tenant_id, w.webhook_id, p_kind, outbox_payload(p_kind, p_payload, p_now), p_now, p_now
  FROM webhook w
  WHERE w.tenant_id = p_tenant_id AND w.disable_time IS NULL
  FOR KEY SHARE;
END
$$;
COMMENT ON FUNCTION alert_append IS
  'Adds an alert, with p_payload as its data, for each enabled webhook of a tenant; it is sent once the caller''s transaction is committed. To be called before the audit is appended: who deletes a webhook holds it, and then wants the audit''s head.';
