-- Signs of life, and the claim on what a silent server left. Time is the database's own: servers' clocks never meet.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION replica_register(p_node_id text, p_place text, p_timeout_ms bigint)
RETURNS TABLE (incarnation bigint, place text, renewed_until timestamptz) LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz := clock_timestamp();
BEGIN
  DELETE FROM replica r
  WHERE r.renewed_until < v_now - interval '1 day' AND r.node_id <> p_node_id
    AND NOT EXISTS (
      SELECT FROM sandbox s WHERE s.node_id = r.node_id AND s.state NOT IN ('TERMINATED', 'FAILED'));
  RETURN QUERY
  INSERT INTO replica AS r (node_id, incarnation, place, start_time, steady_since, renewed_until)
  VALUES (p_node_id, 1, p_place, v_now, v_now, v_now + make_interval(secs => p_timeout_ms / 1000.0))
  ON CONFLICT ON CONSTRAINT replica_pk DO UPDATE
  SET incarnation = r.incarnation + 1, place = excluded.place, start_time = excluded.start_time,
      steady_since = excluded.steady_since, renewed_until = excluded.renewed_until
  -- Whoever holds the same place knows that the server before it is gone.
  WHERE r.renewed_until < v_now OR r.place = excluded.place
  RETURNING r.incarnation, r.place, r.renewed_until;
  IF NOT FOUND THEN
    RETURN QUERY SELECT NULL::bigint, r.place, r.renewed_until FROM replica r WHERE r.node_id = p_node_id;
  END IF;
END
$$;
COMMENT ON FUNCTION replica_register IS
  'Registers a server that starts. incarnation: null when another server of the name is alive, at the place and until the time returned; nothing is changed then. Forgets servers that have been silent for a day and left no live sandbox.';

CREATE OR REPLACE FUNCTION replica_renew(p_node_id text, p_incarnation bigint, p_timeout_ms bigint)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
BEGIN
  UPDATE replica r
  SET steady_since = CASE WHEN r.renewed_until < v_now THEN v_now ELSE r.steady_since END,
      renewed_until = v_now + make_interval(secs => p_timeout_ms / 1000.0)
  WHERE r.node_id = p_node_id AND r.incarnation = p_incarnation;
  RETURN FOUND;
END
$$;
COMMENT ON FUNCTION replica_renew IS 'Takes down a server''s sign of life; false when another has its name.';

CREATE OR REPLACE FUNCTION sandbox_claim(p_node_id text, p_timeout_ms bigint, p_max int)
RETURNS int LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
DECLARE
  v_now   timestamptz := clock_timestamp();
  v_count int;
BEGIN
  -- When the database was away, everybody has been silent: who has not been heard for a whole timeout since claims nothing.
  PERFORM FROM replica r
  WHERE r.node_id = p_node_id AND r.renewed_until > v_now
    AND r.steady_since < v_now - make_interval(secs => p_timeout_ms / 1000.0);
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  WITH left_behind AS (
    SELECT s.sandbox_id
    FROM sandbox s LEFT JOIN replica r ON r.node_id = coalesce(s.claimed_by, s.node_id)
    WHERE s.state NOT IN ('TERMINATED', 'FAILED') AND coalesce(s.claimed_by, s.node_id) <> p_node_id
      -- Who never registered renewed leases at least.
      AND coalesce(r.renewed_until, s.paid_until) < v_now
    ORDER BY s.paid_until
    LIMIT p_max
    FOR NO KEY UPDATE OF s SKIP LOCKED
  )
  UPDATE sandbox s
  SET claimed_by = p_node_id, generation = s.generation + 1,
      -- Nothing more is to be run in it, whoever still believes to own it.
      state = CASE s.state WHEN 'PENDING' THEN 'PENDING' ELSE 'STOPPING' END,
      end_reason = CASE s.state WHEN 'PENDING' THEN NULL ELSE coalesce(s.end_reason, 'ORPHANED') END
  FROM left_behind l
  WHERE s.sandbox_id = l.sandbox_id;
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END
$$;
COMMENT ON FUNCTION sandbox_claim IS
  'Takes over, to end them, at most p_max sandboxes of servers that have given no sign of life in time; returns how many. The raised generation refuses all further writes of the server before.';
