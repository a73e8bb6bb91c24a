-- Several engines: which one runs a template's sandboxes, what they are made from there, and which engines come after it.

ALTER TABLE template DROP CONSTRAINT template_engine_check;
ALTER TABLE template ALTER COLUMN engine DROP NOT NULL;
ALTER TABLE template ADD CONSTRAINT template_engine_check CHECK (engine ~ '^[a-z0-9][a-z0-9-]{0,62}$');
COMMENT ON COLUMN template.engine IS
  'The engine that runs its sandboxes; null for the one that the configuration gives to its tier.';
-- There was one engine, and nobody chose it.
UPDATE template SET engine = NULL;

ALTER TABLE template ADD COLUMN engine_template text, ADD COLUMN fallback_engines text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN template.engine_template IS
  'What the engine''s own template is called that its sandboxes are made from; null for the engine''s default.';
ALTER TABLE template ADD CONSTRAINT template_engine_template_check CHECK (
  engine_template IS NULL OR (engine_template ~ '^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$' AND engine IS NOT NULL));
COMMENT ON COLUMN template.fallback_engines IS
  'Engines, at most 8, that a new sandbox goes to in this order when the one before cannot start it; empty for those of the configuration.';
ALTER TABLE template ADD CONSTRAINT template_fallback_engines_check CHECK (
  cardinality(fallback_engines) <= 8
  AND array_position(fallback_engines, NULL) IS NULL
  AND array_to_string(fallback_engines || ''::text, ',') ~ '^([a-z0-9][a-z0-9-]{0,62},)*$');

COMMENT ON COLUMN sandbox.engine IS
  'The engine that runs it; until it has started, the one that is asked to, which changes when it goes to another.';
COMMENT ON COLUMN replica.place IS
  'Where the server''s engines run their sandboxes, a line for each: the engine''s name, a colon, and its own words, by which another''s tells whether it reaches them.';

-- What takes a place in an engine.
CREATE INDEX sandbox_engine_idx ON sandbox (engine) WHERE state IN ('PENDING', 'RUNNING', 'STOPPING');

DROP FUNCTION ledger_admit(text, text, text, text, text, uuid, text, text, int, int, bigint, bigint, timestamptz);
DROP FUNCTION ledger_renew(text, bigint, bigint, bigint, bigint, bigint, timestamptz, text);
