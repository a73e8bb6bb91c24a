-- The months of cost records.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ledger_make_months(p_now timestamptz, p_ahead int) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
  v_month timestamptz;
  v_name  text;
  v_made  int := 0;
BEGIN
  -- One at a time; bookings go on.
  LOCK TABLE cost_record IN SHARE UPDATE EXCLUSIVE MODE;
  FOR v_month IN
    SELECT month
    FROM (
      SELECT generate_series(date_trunc('month', p_now), date_trunc('month', p_now) + make_interval(months => p_ahead), interval '1 month')
      UNION
      SELECT date_trunc('month', d.from_time) FROM cost_record_default d
    ) AS m (month)
    WHERE to_regclass(to_char(month, '"cost_record_"YYYY_MM')) IS NULL
    ORDER BY month
  LOOP
    v_name := to_char(v_month, '"cost_record_"YYYY_MM');
    EXECUTE format('CREATE TABLE %I (LIKE cost_record INCLUDING DEFAULTS INCLUDING COMMENTS)', v_name);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT cost_record_sound_check CHECK (cost_record_is_sound(%1$I))', v_name);
    EXECUTE format('COMMENT ON TABLE %I IS %L', v_name, 'Cost records of this month, in UTC.');
    -- From here on nobody reads or writes the default partition, until the commit.
    LOCK TABLE cost_record_default IN ACCESS EXCLUSIVE MODE;
    EXECUTE format(
      'WITH moved AS (DELETE FROM cost_record_default WHERE from_time >= %L AND from_time < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
      v_month, v_month + interval '1 month', v_name);
    EXECUTE format('ALTER TABLE cost_record ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_name, v_month, v_month + interval '1 month');
    v_made := v_made + 1;
  END LOOP;
  RETURN v_made;
END
$$;
COMMENT ON FUNCTION ledger_make_months IS
  'Makes the partitions of cost_record for this month, for p_ahead more, and for each month of a record that found none, which it moves there. Returns how many it made.';
REVOKE EXECUTE ON FUNCTION ledger_make_months FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger_make_months TO sandkeeper_server;

-- So that a new database has months from the start.
SELECT ledger_make_months(now(), 3);
