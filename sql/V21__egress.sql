-- What sandboxes may connect to.

ALTER TABLE template ADD COLUMN network jsonb, ADD COLUMN max_network jsonb;
COMMENT ON COLUMN template.network IS
  'What its sandboxes may connect to that do not say: {"rules": [{"host", "ports"}], "maxBytes", "maxConnections"}; null for nothing.';
COMMENT ON COLUMN template.max_network IS 'The most that its sandboxes may ask for, as network; null for nothing.';
ALTER TABLE template
  ADD CONSTRAINT template_network_check CHECK (jsonb_typeof(network) = 'object'),
  ADD CONSTRAINT template_max_network_check CHECK (jsonb_typeof(max_network) = 'object');

ALTER TABLE sandbox ADD COLUMN network jsonb, ADD COLUMN network_bytes bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN sandbox.network IS 'What it may connect to, as network of template; null for nothing.';
COMMENT ON COLUMN sandbox.network_bytes IS
  'Bytes that it has sent to hosts and received from them, from the proxy; written every few seconds.';
ALTER TABLE sandbox
  ADD CONSTRAINT sandbox_network_check CHECK (jsonb_typeof(network) = 'object'),
  ADD CONSTRAINT sandbox_network_bytes_check CHECK (network_bytes >= 0);
