-- Templates are made, changed and deleted by calls, and may say what isolates their sandboxes.

ALTER TABLE template ADD COLUMN runtime text;
COMMENT ON COLUMN template.runtime IS
  'The runtime that isolates its sandboxes, by name, such as runsc; null for the default one of the server that makes them.';
ALTER TABLE template ADD CONSTRAINT template_runtime_check CHECK (runtime ~ '^[a-z0-9][a-z0-9._-]{0,62}$');

-- Nobody can ask for more or less files than a sandbox gets.
ALTER TABLE template RENAME COLUMN default_disk_mib TO disk_mib;
ALTER TABLE template DROP COLUMN min_disk_mib, DROP COLUMN max_disk_mib;
ALTER TABLE template ADD CONSTRAINT template_disk_mib_check CHECK (disk_mib >= 1);
COMMENT ON COLUMN template.disk_mib IS 'Most MiB of files; a sandbox gets no more than half of its memory.';

GRANT INSERT, UPDATE, DELETE ON template TO sandkeeper_server;

-- A sandbox has its own copy of what matters, so that its template can be deleted.
ALTER TABLE sandbox DROP CONSTRAINT sandbox_template_fk;
COMMENT ON COLUMN sandbox.template IS
  'The name of what it was made from, which may have been changed or deleted since.';
ALTER TABLE sandbox ADD COLUMN runtime text;
COMMENT ON COLUMN sandbox.runtime IS
  'The runtime that isolates it, by name; null where its engine offers none by name, and for sandboxes older than the column.';
ALTER TABLE sandbox ADD CONSTRAINT sandbox_runtime_check CHECK (runtime ~ '^[a-z0-9][a-z0-9._-]{0,62}$');
