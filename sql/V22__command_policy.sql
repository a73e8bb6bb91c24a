-- Which commands and code may be run, by rules of templates and sandboxes.

ALTER TABLE template ADD COLUMN command_policy text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN template.command_policy IS
  'Rules, at most 64 of a kind: allow, deny or deny_code, then program, glob or regex, or for code its language or *, and the text of at most 256 characters, with a space between each.';
ALTER TABLE template ADD CONSTRAINT template_command_policy_check CHECK (
  cardinality(command_policy) <= 192 AND array_position(command_policy, NULL) IS NULL
);

ALTER TABLE sandbox ADD COLUMN template_command_policy text[] NOT NULL DEFAULT '{}',
  ADD COLUMN command_policy text[] NOT NULL DEFAULT '{}';
COMMENT ON COLUMN sandbox.template_command_policy IS 'The rules of its template when it was created.';
COMMENT ON COLUMN sandbox.command_policy IS 'The rules of its own, as those of a template.';
ALTER TABLE sandbox ADD CONSTRAINT sandbox_command_policy_check CHECK (
  cardinality(template_command_policy) <= 192 AND array_position(template_command_policy, NULL) IS NULL
  AND cardinality(command_policy) <= 192 AND array_position(command_policy, NULL) IS NULL
);
