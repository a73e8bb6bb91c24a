-- Who may call, and for whom.
--
-- Migrations run as the role that owns everything. The server runs as sandkeeper_server, which owns nothing and gets,
-- beside each table, exactly what it needs.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sandkeeper_server') THEN
    IF (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user) THEN
      CREATE ROLE sandkeeper_server NOLOGIN;
    ELSE
      RAISE EXCEPTION 'the role sandkeeper_server is missing'
        USING HINT = 'Let an administrator run: CREATE ROLE sandkeeper_server LOGIN PASSWORD ''...''';
    END IF;
  END IF;
END
$$;

GRANT USAGE ON SCHEMA public TO sandkeeper_server;

-- Equality on text inside temporal keys; in a schema of its own, so that its helpers stay out of ours.
CREATE SCHEMA extension;
CREATE EXTENSION btree_gist SCHEMA extension;

CREATE TABLE tenant (
  tenant_id   text        NOT NULL,
  create_time timestamptz NOT NULL,
  CONSTRAINT tenant_pk PRIMARY KEY (tenant_id),
  CONSTRAINT tenant_id_check CHECK (tenant_id ~ '^[a-z0-9][a-z0-9-]{0,62}$')
);
COMMENT ON TABLE tenant IS 'Whoever is billed, and whom no other tenant can see.';
COMMENT ON COLUMN tenant.tenant_id IS 'Lower-case letters, digits and hyphens; chosen by the operator.';
COMMENT ON COLUMN tenant.create_time IS 'When it was added; billing clock.';
GRANT SELECT, INSERT ON tenant TO sandkeeper_server;

CREATE TABLE api_key (
  key_id      text        NOT NULL,
  tenant_id   text        NOT NULL,
  name        text        NOT NULL,
  secret_hash bytea       NOT NULL,
  scopes      text[]      NOT NULL,
  agent_id    text,
  create_time timestamptz NOT NULL,
  expire_time timestamptz,
  revoke_time timestamptz,
  CONSTRAINT api_key_pk PRIMARY KEY (key_id),
  CONSTRAINT api_key_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenant,
  CONSTRAINT api_key_secret_hash_uq UNIQUE (secret_hash),
  CONSTRAINT api_key_secret_hash_check CHECK (octet_length(secret_hash) = 32),
  CONSTRAINT api_key_scopes_check CHECK (scopes <@ ARRAY['admin', 'run', 'read'] AND cardinality(scopes) >= 1),
  CONSTRAINT api_key_agent_id_check CHECK (agent_id <> ''),
  CONSTRAINT api_key_expire_time_check CHECK (expire_time > create_time),
  CONSTRAINT api_key_revoke_time_check CHECK (revoke_time >= create_time)
);
CREATE INDEX api_key_tenant_idx ON api_key (tenant_id, create_time DESC, key_id);
COMMENT ON TABLE api_key IS 'Credentials of callers. The secret itself is shown once and never stored.';
COMMENT ON COLUMN api_key.key_id IS 'Public name of the key, as audit events have it; made by the server.';
COMMENT ON COLUMN api_key.tenant_id IS 'The tenant it is bound to.';
COMMENT ON COLUMN api_key.name IS 'What it is for; the operator''s words, possibly empty.';
COMMENT ON COLUMN api_key.secret_hash IS 'SHA-256 of the secret, 32 bytes.';
COMMENT ON COLUMN api_key.scopes IS 'What it may do: admin, run, read; at least one.';
COMMENT ON COLUMN api_key.agent_id IS 'The one agent whose sandboxes it reaches; null for all of the tenant''s.';
COMMENT ON COLUMN api_key.create_time IS 'When it was made; billing clock.';
COMMENT ON COLUMN api_key.expire_time IS 'When it stops working; null for never.';
COMMENT ON COLUMN api_key.revoke_time IS 'When it was revoked; null while it is not.';
GRANT SELECT, INSERT, UPDATE (revoke_time) ON api_key TO sandkeeper_server;
