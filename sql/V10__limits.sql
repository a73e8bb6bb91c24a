-- Limits for every scope, on money and on what runs at once, in a named time zone.

DROP INDEX hold_open_tenant_idx;
ALTER TABLE quota_limit RENAME COLUMN amount_nano_usd TO amount;
ALTER TABLE quota_limit
  DROP CONSTRAINT quota_limit_scope_uq,
  DROP CONSTRAINT quota_limit_period_check,
  DROP CONSTRAINT quota_limit_amount_check,
  ADD COLUMN scope       text  NOT NULL DEFAULT 'TENANT',
  ADD COLUMN scope_id    text  NOT NULL DEFAULT '',
  ADD COLUMN resource    text  NOT NULL DEFAULT 'ALL_SPEND',
  ADD COLUMN zone        text  NOT NULL DEFAULT 'UTC',
  ADD COLUMN enforcement text  NOT NULL DEFAULT 'HARD',
  ADD COLUMN thresholds  int[] NOT NULL DEFAULT '{}',
  ADD CONSTRAINT quota_limit_scope_uq UNIQUE (tenant_id, scope, scope_id, resource, period),
  ADD CONSTRAINT quota_limit_scope_check CHECK (
    scope IN ('TENANT', 'ORGANISATION', 'USER', 'CONVERSATION', 'AGENT') AND (scope = 'TENANT') = (scope_id = '')),
  ADD CONSTRAINT quota_limit_resource_check CHECK (resource IN (
    'ALL_SPEND', 'SANDBOX_SPEND', 'LLM_SPEND', 'SANDBOX_CREATES',
    'CONCURRENT_SANDBOXES', 'CONCURRENT_CPU_CORES', 'CONCURRENT_MEMORY_MIB')),
  ADD CONSTRAINT quota_limit_period_check CHECK (
    period IN ('MINUTE', 'HOUR', 'DAY', 'WEEK', 'MONTH', 'LIFETIME')
    AND (period <> 'MINUTE' OR resource = 'SANDBOX_CREATES')
    AND (resource NOT LIKE 'CONCURRENT%' OR period = 'LIFETIME')),
  ADD CONSTRAINT quota_limit_enforcement_check CHECK (enforcement IN ('HARD', 'SOFT')),
  ADD CONSTRAINT quota_limit_amount_check CHECK (amount BETWEEN 0 AND 1000000000000000000),
  ADD CONSTRAINT quota_limit_thresholds_check CHECK (
    cardinality(thresholds) <= 10 AND 0 < ALL (thresholds) AND 100 >= ALL (thresholds)
    AND (thresholds = '{}' OR resource NOT LIKE 'CONCURRENT%'));
ALTER TABLE quota_limit
  ALTER COLUMN scope DROP DEFAULT,
  ALTER COLUMN scope_id DROP DEFAULT,
  ALTER COLUMN resource DROP DEFAULT,
  ALTER COLUMN zone DROP DEFAULT,
  ALTER COLUMN enforcement DROP DEFAULT,
  ALTER COLUMN thresholds DROP DEFAULT;
CREATE INDEX quota_limit_tenant_idx ON quota_limit (tenant_id, create_time DESC, limit_id DESC);
GRANT UPDATE (enforcement, thresholds) ON quota_limit TO sandkeeper_server;
COMMENT ON TABLE quota_limit IS 'How much of a resource a scope may use in a period.';
COMMENT ON COLUMN quota_limit.tenant_id IS 'The tenant of the scope.';
COMMENT ON COLUMN quota_limit.scope IS 'Whose use it limits: TENANT (all of it), ORGANISATION, USER, CONVERSATION or AGENT, as sandboxes and spends are attributed.';
COMMENT ON COLUMN quota_limit.scope_id IS 'Which organisation, user, conversation or agent; empty for TENANT.';
COMMENT ON COLUMN quota_limit.resource IS
  'What it limits. Money: ALL_SPEND, SANDBOX_SPEND, LLM_SPEND. Events: SANDBOX_CREATES. What is in use at once: CONCURRENT_SANDBOXES, CONCURRENT_CPU_CORES, CONCURRENT_MEMORY_MIB.';
COMMENT ON COLUMN quota_limit.period IS
  'MINUTE (SANDBOX_CREATES only), HOUR, DAY, WEEK (from Monday), MONTH or LIFETIME; what is in use at once has LIFETIME.';
COMMENT ON COLUMN quota_limit.zone IS 'IANA time zone in which periods begin. Hours count from its midnight, minutes from the full minute.';
COMMENT ON COLUMN quota_limit.enforcement IS 'HARD: nothing is admitted past it. SOFT: it counts and warns only.';
COMMENT ON COLUMN quota_limit.amount IS 'The most in each period, 0 to 10^18: nano-USD, sandboxes created, or sandboxes, cores, MiB in use at once.';
COMMENT ON COLUMN quota_limit.thresholds IS 'Percent of the amount, 1 to 100, at which a warning is given once in each period; at most 10.';
COMMENT ON COLUMN quota_limit.update_time IS 'When its amount, enforcement or thresholds were last set; billing clock.';

ALTER TABLE quota_period RENAME COLUMN limit_nano_usd TO amount;
ALTER TABLE quota_period RENAME COLUMN spent_nano_usd TO spent;
ALTER TABLE quota_period RENAME COLUMN reserved_nano_usd TO reserved;
ALTER TABLE quota_period RENAME COLUMN excess_nano_usd TO excess;
COMMENT ON COLUMN quota_period.amount IS 'The limit''s amount in this period; a period that is over keeps the one it had.';
COMMENT ON COLUMN quota_period.spent IS
  'Used for good, in the limit''s unit. Money: the sum of the cost records in scope that start in the period. SANDBOX_CREATES: the sandboxes admitted in it.';
COMMENT ON COLUMN quota_period.reserved IS 'Used for now, in the limit''s unit: the sum of what open holds charge to this row.';
COMMENT ON COLUMN quota_period.excess IS 'By how much spent and reserved exceed the amount now; for a HARD limit, how that came is in quota_overrun.';
ALTER TABLE quota_overrun RENAME COLUMN amount_nano_usd TO amount;
COMMENT ON TABLE quota_overrun IS 'Each time that spent and reserved came to exceed a hard limit, and why. Append-only.';
COMMENT ON COLUMN quota_overrun.sandbox_id IS 'The sandbox that overran; null for other spend, and unless BOOKED.';
COMMENT ON COLUMN quota_overrun.amount IS 'By how much the excess grew, in the limit''s unit.';
COMMENT ON COLUMN quota_overrun.reason IS
  'BOOKED: what had already happened was more than was held. LOWERED: the limit was set below what is used, or made hard there. CREATED: a new limit found more used than it allows.';

CREATE TABLE threshold_event (
  limit_id     bigint      NOT NULL,
  period_start timestamptz NOT NULL,
  threshold    int         NOT NULL,
  spent        bigint      NOT NULL,
  amount       bigint      NOT NULL,
  record_time  timestamptz NOT NULL,
  CONSTRAINT threshold_event_pk PRIMARY KEY (limit_id, period_start, threshold),
  CONSTRAINT threshold_event_period_fk FOREIGN KEY (limit_id, period_start) REFERENCES quota_period ON DELETE CASCADE
);
COMMENT ON TABLE threshold_event IS 'Each threshold that was reached: once for a limit and period. Written with what reached it, and with its alert.';
COMMENT ON COLUMN threshold_event.limit_id IS 'The limit.';
COMMENT ON COLUMN threshold_event.period_start IS 'The period.';
COMMENT ON COLUMN threshold_event.threshold IS 'Percent of the amount.';
COMMENT ON COLUMN threshold_event.spent IS 'What was spent then, in the limit''s unit.';
COMMENT ON COLUMN threshold_event.amount IS 'The limit''s amount then.';
COMMENT ON COLUMN threshold_event.record_time IS 'When it was reached; billing clock.';
GRANT SELECT, INSERT ON threshold_event TO sandkeeper_server;

-- What a hold charges stands in its own row: rows of their own, made and deleted with each hold, were a third of the work
-- of an admission.
ALTER TABLE hold
  ADD COLUMN kind            text          NOT NULL DEFAULT 'SANDBOX',
  ADD COLUMN organisation_id text,
  ADD COLUMN user_id         text,
  ADD COLUMN conversation_id text,
  ADD COLUMN agent_id        text,
  ADD COLUMN charged_limits  bigint[]      NOT NULL DEFAULT '{}',
  ADD COLUMN charged_periods timestamptz[] NOT NULL DEFAULT '{}',
  ADD COLUMN charged_amounts bigint[]      NOT NULL DEFAULT '{}';
ALTER TABLE hold
  ALTER COLUMN kind DROP DEFAULT,
  ALTER COLUMN sandbox_id DROP NOT NULL,
  ALTER COLUMN tier DROP NOT NULL,
  ALTER COLUMN cpu_cores DROP NOT NULL,
  ALTER COLUMN memory_mib DROP NOT NULL,
  ALTER COLUMN stop_time_ms DROP NOT NULL;
UPDATE hold h
SET organisation_id = s.organisation_id, user_id = s.user_id, conversation_id = s.conversation_id, agent_id = s.agent_id,
    charged_limits = c.limits, charged_periods = c.periods, charged_amounts = c.amounts
FROM sandbox s
CROSS JOIN LATERAL (
  SELECT coalesce(array_agg(l.limit_id ORDER BY l.limit_id, l.period_start), '{}') AS limits,
         coalesce(array_agg(l.period_start ORDER BY l.limit_id, l.period_start), '{}') AS periods,
         coalesce(array_agg(l.amount_nano_usd ORDER BY l.limit_id, l.period_start), '{}') AS amounts
  FROM hold_limit l JOIN hold o ON o.hold_id = l.hold_id AND o.state = 'OPEN'
  WHERE o.sandbox_id = s.sandbox_id
) AS c
WHERE s.sandbox_id = h.sandbox_id AND h.state = 'OPEN';
DROP TABLE hold_limit;
CREATE FUNCTION hold_is_sound(h hold) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RETURN h.kind IN ('SANDBOX', 'LLM')
    AND (h.kind = 'SANDBOX') = (h.sandbox_id IS NOT NULL)
    AND (h.kind = 'SANDBOX') = (num_nulls(h.tier, h.cpu_cores, h.memory_mib, h.stop_time_ms) = 0)
    AND h.state IN ('OPEN', 'SETTLED', 'RELEASED')
    AND (h.state = 'OPEN') = (h.end_time IS NULL)
    AND h.until_time >= h.from_time
    AND coalesce(h.stop_time_ms, 0) >= 0
    AND h.amount_nano_usd >= 0
    AND cardinality(h.charged_limits) = cardinality(h.charged_periods)
    AND cardinality(h.charged_limits) = cardinality(h.charged_amounts)
    AND 0 <= ALL (h.charged_amounts);
END
$$;
COMMENT ON FUNCTION hold_is_sound IS 'Whether a row of hold can be; one function for the reason given with execution_is_sound.';
ALTER TABLE hold
  DROP CONSTRAINT hold_state_check,
  DROP CONSTRAINT hold_ended_check,
  DROP CONSTRAINT hold_span_check,
  DROP CONSTRAINT hold_stop_time_ms_check,
  DROP CONSTRAINT hold_amount_check,
  ADD CONSTRAINT hold_sound_check CHECK (hold_is_sound(hold));
CREATE INDEX hold_open_idx ON hold (tenant_id, until_time) WHERE state = 'OPEN';
DROP INDEX hold_sandbox_idx;
CREATE INDEX hold_sandbox_idx ON hold (sandbox_id) WHERE sandbox_id IS NOT NULL;
COMMENT ON COLUMN hold.kind IS 'SANDBOX: a lease and the time to stop. LLM: a spend that others run.';
COMMENT ON COLUMN hold.sandbox_id IS 'What it pays for; at most one open hold each. This and the next four are null but for SANDBOX.';
COMMENT ON COLUMN hold.organisation_id IS 'For whom: with the next three, the scopes whose limits it charges beside the tenant''s.';
COMMENT ON COLUMN hold.user_id IS 'The user.';
COMMENT ON COLUMN hold.conversation_id IS 'The conversation.';
COMMENT ON COLUMN hold.agent_id IS 'The agent.';
COMMENT ON COLUMN hold.charged_limits IS 'The limits whose counters it charges; several times the same where it crosses a period''s end.';
COMMENT ON COLUMN hold.charged_periods IS 'The period of each.';
COMMENT ON COLUMN hold.charged_amounts IS 'How much is in each counter''s reserved while the hold is open, in the limit''s unit; as it was when the hold ended.';

-- Offsets of time zones are whole quarters of an hour, so every period of every zone begins at one.
ALTER TABLE usage_segment DROP CONSTRAINT usage_segment_hour_check;
ALTER TABLE usage_segment ADD CONSTRAINT usage_segment_quarter_check CHECK (
  to_time <= date_bin('15 minutes', from_time, '1970-01-01 00:00:00+00') + interval '15 minutes') NOT VALID;
COMMENT ON TABLE usage_segment IS
  'What a sandbox used in a span of its running life; contiguous; split at quarters of an hour (where every period begins) and at price changes. Append-only.';
COMMENT ON CONSTRAINT usage_segment_quarter_check ON usage_segment IS 'Not validated: before, segments were split at full hours.';

ALTER TABLE cost_record ADD COLUMN spend text NOT NULL DEFAULT 'SANDBOX';
COMMENT ON COLUMN cost_record.spend IS 'On what: SANDBOX, or LLM for a spend that others ran.';
