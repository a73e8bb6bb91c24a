-- An execution outlives the server that started it: whoever writes down its end must know who had it run.

ALTER TABLE execution
  ADD COLUMN key_id         text,
  ADD COLUMN key_agent_id   text,
  ADD COLUMN remote_address text,
  ADD COLUMN user_agent     text;
COMMENT ON COLUMN execution.key_id IS 'The API key by which it was started; null of executions older than this column.';
COMMENT ON COLUMN execution.key_agent_id IS 'The agent that the key is bound to; null when it is bound to none.';
COMMENT ON COLUMN execution.remote_address IS 'Where the call came from; null when it is not known.';
COMMENT ON COLUMN execution.user_agent IS 'What the client called itself; null when it did not say.';

-- With other parameters in R__executions.sql.
DROP FUNCTION execution_begin(text, text, uuid, bytea, text, text, timestamptz, bytea, boolean);
DROP FUNCTION execution_finish(text, timestamptz, text, int, int, bigint, bigint, bigint, bigint, bytea, bigint, bytea, text, text, text, text);
