-- Several servers on one database: who is there, and who has taken a sandbox over from one that is not.

CREATE TABLE replica (
  node_id       text        NOT NULL,
  incarnation   bigint      NOT NULL,
  place         text        NOT NULL,
  start_time    timestamptz NOT NULL,
  steady_since  timestamptz NOT NULL,
  renewed_until timestamptz NOT NULL,
  CONSTRAINT replica_pk PRIMARY KEY (node_id),
  CONSTRAINT replica_incarnation_check CHECK (incarnation >= 1),
  CONSTRAINT replica_time_check CHECK (steady_since >= start_time AND renewed_until > steady_since)
) WITH (fillfactor = 50);
COMMENT ON TABLE replica IS
  'One row for each server that serves, or did so within a day. All times are of the database''s own clock.';
COMMENT ON COLUMN replica.node_id IS 'The server''s name, as in sandbox.node_id.';
COMMENT ON COLUMN replica.incarnation IS 'From 1; one more with every start, so that a server knows when another has its name.';
COMMENT ON COLUMN replica.place IS
  'Where the server''s engine runs its sandboxes, in the engine''s own words, by which another''s tells whether it reaches them.';
COMMENT ON COLUMN replica.start_time IS 'When it was last started.';
COMMENT ON COLUMN replica.steady_since IS 'Since when it has given its signs of life in time; start_time or later.';
COMMENT ON COLUMN replica.renewed_until IS 'Until when it counts as alive; moved forward by every sign of life.';
GRANT SELECT, INSERT, UPDATE, DELETE ON replica TO sandkeeper_server;

ALTER TABLE sandbox ADD COLUMN claimed_by text;
COMMENT ON COLUMN sandbox.claimed_by IS
  'The server that has taken it over to end it, as that of node_id gave no sign of life; null while that one owns it.';
COMMENT ON COLUMN sandbox.node_id IS 'The server that made it, and owns it unless another has claimed it; from that server''s configuration.';
CREATE INDEX sandbox_claimed_idx ON sandbox (claimed_by) WHERE claimed_by IS NOT NULL AND state NOT IN ('TERMINATED', 'FAILED');
