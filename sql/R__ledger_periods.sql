-- Where the periods of limits begin and end in time zones.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_local_time(p_local timestamp, p_zone text) RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
  -- PostgreSQL takes the later of two, and the moment of the skip for a time that is skipped.
  v_later   timestamptz := p_local AT TIME ZONE p_zone;
  v_before  timestamptz := v_later - interval '3 hours';
  v_earlier timestamptz := (p_local - ((v_before AT TIME ZONE p_zone) - (v_before AT TIME ZONE 'UTC'))) AT TIME ZONE 'UTC';
BEGIN
  RETURN CASE WHEN v_earlier < v_later AND v_earlier AT TIME ZONE p_zone = p_local THEN v_earlier ELSE v_later END;
END
$$;
COMMENT ON FUNCTION ledger_local_time IS
  'The moment at which clocks of a zone show a time: the first, where it comes twice as they are set back; the moment of the skip, where they are set forward over it.';

-- One expression, which is put in the place of each call.
CREATE OR REPLACE FUNCTION ledger_period_start(p_period text, p_zone text, p_at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
  WHEN p_period = 'LIFETIME' THEN '1970-01-01 00:00:00+00'::timestamptz
  WHEN p_period = 'MINUTE' THEN date_bin('1 minute', p_at, '1970-01-01 00:00:00+00')
  WHEN p_zone = 'UTC' THEN date_trunc(p_period, p_at, 'UTC')
  WHEN p_period = 'HOUR' THEN date_bin('1 hour', p_at, ledger_local_time(date_trunc('day', p_at AT TIME ZONE p_zone), p_zone))
  ELSE ledger_local_time(date_trunc(p_period, p_at AT TIME ZONE p_zone), p_zone)
END;
COMMENT ON FUNCTION ledger_period_start IS
  'Start of the period of a zone that holds a time; the epoch for LIFETIME. Hours count from midnight, so a day has 23 or 25 of them when clocks change.';

CREATE OR REPLACE FUNCTION ledger_period_end(p_period text, p_zone text, p_period_start timestamptz) RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
  RETURN CASE p_period
    WHEN 'MINUTE' THEN p_period_start + interval '1 minute'
    -- Where clocks change by half an hour the day's last hour is that short.
    WHEN 'HOUR' THEN least(
      p_period_start + interval '1 hour', ledger_period_end('DAY', p_zone, ledger_period_start('DAY', p_zone, p_period_start)))
    WHEN 'DAY' THEN ledger_local_time(date_trunc('day', p_period_start AT TIME ZONE p_zone) + interval '1 day', p_zone)
    WHEN 'WEEK' THEN ledger_local_time(date_trunc('week', p_period_start AT TIME ZONE p_zone) + interval '7 days', p_zone)
    WHEN 'MONTH' THEN ledger_local_time(date_trunc('month', p_period_start AT TIME ZONE p_zone) + interval '1 month', p_zone)
  END;
END
$$;
COMMENT ON FUNCTION ledger_period_end IS 'End of the period that starts then, where the next one starts; null for LIFETIME.';
