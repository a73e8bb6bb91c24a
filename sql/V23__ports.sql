-- Ports of sandboxes are reached from outside, by an API key or by a URL that is signed.

CREATE TABLE port_key (
  port_key_id text        NOT NULL,
  secret      bytea       NOT NULL,
  create_time timestamptz NOT NULL,
  CONSTRAINT port_key_pk PRIMARY KEY (port_key_id),
  CONSTRAINT port_key_id_check CHECK (port_key_id ~ '^[a-z0-9]{20}$'),
  CONSTRAINT port_key_secret_check CHECK (octet_length(secret) = 32)
);
CREATE INDEX port_key_create_time_idx ON port_key (create_time DESC);
COMMENT ON TABLE port_key IS
  'What the URLs of ports are signed with, the same for all servers. The newest signs; older ones stay for as long as a URL may be good that they signed.';
COMMENT ON COLUMN port_key.port_key_id IS 'Made by the server; part of what is signed with it, so that the key is found again.';
COMMENT ON COLUMN port_key.secret IS
  'The key of HMAC-SHA-256, 32 random bytes, as it is: signing takes the key itself. Whoever reads it can forge URLs of running sandboxes, so it leaves the database for the servers only.';
COMMENT ON COLUMN port_key.create_time IS 'When it was made; billing clock.';
GRANT SELECT, INSERT, DELETE ON port_key TO sandkeeper_server;
