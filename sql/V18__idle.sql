-- A sandbox may say how long it may be idle.

ALTER TABLE sandbox ADD COLUMN idle_timeout_ms bigint;
COMMENT ON COLUMN sandbox.idle_timeout_ms IS
  'How long it may be idle before it is ended, in milliseconds; null when it may be for all its life.';
ALTER TABLE sandbox ADD CONSTRAINT sandbox_idle_timeout_ms_check CHECK (idle_timeout_ms > 0);

ALTER TABLE sandbox DROP CONSTRAINT sandbox_end_reason_check;
ALTER TABLE sandbox ADD CONSTRAINT sandbox_end_reason_check CHECK (
  end_reason IN ('TERMINATED', 'TIMEOUT', 'IDLE', 'BUDGET_EXHAUSTED', 'OUT_OF_MEMORY', 'ENGINE_FAILED', 'ORPHANED'));
