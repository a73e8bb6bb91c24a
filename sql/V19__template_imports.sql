-- A template may name Python modules that contexts are to find loaded.

ALTER TABLE template ADD COLUMN imports text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN template.imports IS
  'Names of modules that are loaded ahead for Python contexts, at most 16 of at most 100 characters; those that a sandbox does not have are left out.';
-- Taken together, with a comma behind each.
ALTER TABLE template ADD CONSTRAINT template_imports_check CHECK (
  cardinality(imports) <= 16
  AND array_position(imports, NULL) IS NULL
  AND cardinality(imports) = cardinality(string_to_array(array_to_string(imports, ','), ','))
  AND array_to_string(imports || ''::text, ',') ~ '^((?=[^,]{1,100},)[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*,)*$');

UPDATE template SET imports = '{numpy,pandas}' WHERE name IN ('base', 'high-memory');
