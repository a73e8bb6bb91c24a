-- Secrets by name, given to executions as environment variables. Values are encrypted by the server: the key is in its
-- configuration, not here.

CREATE TABLE secret (
  tenant_id   text        NOT NULL,
  name        text        NOT NULL,
  sealed      bytea       NOT NULL,
  create_time timestamptz NOT NULL,
  update_time timestamptz NOT NULL,
  CONSTRAINT secret_pk PRIMARY KEY (tenant_id, name),
  CONSTRAINT secret_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenant,
  CONSTRAINT secret_name_check CHECK (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,62}$'),
  CONSTRAINT secret_sealed_check CHECK (octet_length(sealed) BETWEEN 36 AND 16412),
  CONSTRAINT secret_time_check CHECK (update_time >= create_time)
);
COMMENT ON TABLE secret IS 'A tenant''s secrets.';
COMMENT ON COLUMN secret.tenant_id IS 'Whose it is.';
COMMENT ON COLUMN secret.name IS 'Its name, given by the tenant.';
COMMENT ON COLUMN secret.sealed IS
  'The value, 8 to 16384 bytes, by AES-256-GCM: a nonce of 12 bytes, the cipher text, a tag of 16. Tenant and name are authenticated with it.';
COMMENT ON COLUMN secret.create_time IS 'When it was first set; billing clock.';
COMMENT ON COLUMN secret.update_time IS 'When it was last set; billing clock.';
GRANT SELECT, INSERT, DELETE, UPDATE (sealed, update_time) ON secret TO sandkeeper_server;

-- The values themselves: a secret may have been changed or deleted since.
CREATE TABLE sandbox_secret (
  sandbox_id  text  NOT NULL,
  fingerprint bytea NOT NULL,
  name        text  NOT NULL,
  sealed      bytea NOT NULL,
  CONSTRAINT sandbox_secret_pk PRIMARY KEY (sandbox_id, fingerprint),
  CONSTRAINT sandbox_secret_fingerprint_check CHECK (octet_length(fingerprint) = 32),
  CONSTRAINT sandbox_secret_sealed_check CHECK (octet_length(sealed) BETWEEN 36 AND 16412)
);
COMMENT ON TABLE sandbox_secret IS
  'Secrets that were given to executions of a sandbox, to be redacted in its output by whichever server runs it; gone when it has ended.';
COMMENT ON COLUMN sandbox_secret.sandbox_id IS 'The sandbox.';
COMMENT ON COLUMN sandbox_secret.fingerprint IS
  'HMAC-SHA256 of name and value by a key of the server, by which the same one is known again.';
COMMENT ON COLUMN sandbox_secret.name IS 'The name it had when it was given.';
COMMENT ON COLUMN sandbox_secret.sealed IS 'The value as in secret.sealed, with the sandbox in the place of tenant and name.';
GRANT SELECT, INSERT, DELETE ON sandbox_secret TO sandkeeper_server;
