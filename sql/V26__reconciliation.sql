-- What was billed as running time, beside what the engine has itself on record of the same sandbox.

ALTER TABLE sandbox ADD COLUMN remote_id text
  CONSTRAINT sandbox_remote_id_check CHECK (length(remote_id) BETWEEN 1 AND 128);
COMMENT ON COLUMN sandbox.remote_id IS
  'What the service behind its engine calls it, as on that service''s bill; null before its start and where there is none.';

CREATE TABLE reconciliation (
  sandbox_id          text        NOT NULL,
  tenant_id           text        NOT NULL,
  engine              text        NOT NULL,
  next_time           timestamptz,
  check_time          timestamptz,
  billed_ms           bigint,
  tolerance_ms        bigint,
  reported_ms         bigint,
  reported_start_time timestamptz,
  reported_end_time   timestamptz,
  drift_ms            bigint      GENERATED ALWAYS AS (reported_ms - billed_ms) STORED,
  drifted             boolean     NOT NULL GENERATED ALWAYS AS (
    check_time IS NOT NULL AND coalesce(abs(reported_ms - billed_ms) > tolerance_ms, true)) STORED,
  CONSTRAINT reconciliation_pk PRIMARY KEY (sandbox_id),
  CONSTRAINT reconciliation_sandbox_fk FOREIGN KEY (sandbox_id) REFERENCES sandbox,
  CONSTRAINT reconciliation_checked_check CHECK (
    (check_time IS NULL) = (next_time IS NOT NULL)
    AND num_nulls(check_time, billed_ms, tolerance_ms) IN (0, 3)
    AND (check_time IS NOT NULL OR reported_ms IS NULL)),
  CONSTRAINT reconciliation_reported_check CHECK (
    num_nulls(reported_ms, reported_start_time, reported_end_time) IN (0, 3) AND reported_end_time >= reported_start_time),
  CONSTRAINT reconciliation_millis_check CHECK (billed_ms >= 0 AND tolerance_ms >= 0 AND reported_ms >= 0)
);
CREATE INDEX reconciliation_next_time_idx ON reconciliation (engine, next_time) WHERE next_time IS NOT NULL;
CREATE INDEX reconciliation_check_time_idx ON reconciliation (check_time DESC, sandbox_id DESC) WHERE check_time IS NOT NULL;
CREATE INDEX reconciliation_drifted_idx ON reconciliation (check_time DESC, sandbox_id DESC) WHERE drifted;
COMMENT ON TABLE reconciliation IS
  'One row for each sandbox that ended in an engine that keeps records of its own: still to be compared, or compared, once. Goes with the cost records of the month in which it was compared.';
COMMENT ON COLUMN reconciliation.sandbox_id IS 'The sandbox.';
COMMENT ON COLUMN reconciliation.tenant_id IS 'The sandbox''s tenant.';
COMMENT ON COLUMN reconciliation.engine IS 'The sandbox''s engine.';
COMMENT ON COLUMN reconciliation.next_time IS
  'When the engine is asked again, unless it answers first; until then it is the work of the server that set it; billing clock; null once compared.';
COMMENT ON COLUMN reconciliation.check_time IS 'When it was compared; billing clock; null before.';
COMMENT ON COLUMN reconciliation.billed_ms IS 'Milliseconds billed as running, pauses left out; null before.';
COMMENT ON COLUMN reconciliation.tolerance_ms IS 'Milliseconds by which both may differ, of the configuration at the time; null before.';
COMMENT ON COLUMN reconciliation.reported_ms IS
  'Milliseconds of running time that the engine has on record; null before, and where it has none a day after the end.';
COMMENT ON COLUMN reconciliation.reported_start_time IS 'When it first started; the engine''s clock; null as reported_ms.';
COMMENT ON COLUMN reconciliation.reported_end_time IS 'When it ended; the engine''s clock; null as reported_ms.';
COMMENT ON COLUMN reconciliation.drift_ms IS 'What was reported less what was billed; null as reported_ms.';
COMMENT ON COLUMN reconciliation.drifted IS 'Whether both differ by more than the tolerance, or the engine has no record.';
GRANT SELECT, INSERT ON reconciliation TO sandkeeper_server;
GRANT UPDATE (next_time, check_time, billed_ms, tolerance_ms, reported_ms, reported_start_time, reported_end_time)
  ON reconciliation TO sandkeeper_server;

-- What is to be compared.
CREATE INDEX sandbox_ended_idx ON sandbox (engine, end_time) WHERE start_time IS NOT NULL AND end_time IS NOT NULL;
