-- How many sandboxes run in an engine.

SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION engine_occupied(p_engine text) RETURNS int LANGUAGE plpgsql VOLATILE SET enable_seqscan = off AS $$
BEGIN
  -- A statement of its own: the next one sees what was committed by whoever had the lock before.
  PERFORM pg_advisory_xact_lock(hashtextextended('sandkeeper.engine.' || p_engine, 0));
  RETURN (SELECT count(*) FROM sandbox s WHERE s.engine = p_engine AND s.state IN ('PENDING', 'RUNNING', 'STOPPING'));
END
$$;
COMMENT ON FUNCTION engine_occupied IS
  'How many sandboxes, of all servers, take a place in an engine: those that start, run or are being ended; paused ones do not. Whoever else asks waits for the end of the transaction, which may thus take a place.';
