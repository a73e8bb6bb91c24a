-- What things cost, and how much may be spent.

CREATE TABLE price_version (
  price_version_id     bigint         GENERATED ALWAYS AS IDENTITY,
  tier                 text           NOT NULL,
  basis                text           NOT NULL,
  usd_per_second       numeric(24,18) NOT NULL,
  usd_per_core_second  numeric(24,18) NOT NULL,
  usd_per_gib_second   numeric(24,18) NOT NULL,
  start_time           timestamptz    NOT NULL,
  end_time             timestamptz,
  valid                tstzrange      NOT NULL GENERATED ALWAYS AS (tstzrange(start_time, end_time, '[)')) STORED,
  CONSTRAINT price_version_pk PRIMARY KEY (price_version_id),
  CONSTRAINT price_version_valid_uq UNIQUE (tier, valid WITHOUT OVERLAPS),
  CONSTRAINT price_version_tier_check CHECK (tier IN ('standard', 'high-memory', 'gpu')),
  CONSTRAINT price_version_basis_check CHECK (basis IN ('ALLOCATED', 'MEASURED')),
  CONSTRAINT price_version_usd_check CHECK (
    usd_per_second BETWEEN 0 AND 1000 AND usd_per_core_second BETWEEN 0 AND 1000 AND usd_per_gib_second BETWEEN 0 AND 1000),
  CONSTRAINT price_version_start_time_check CHECK (start_time = date_trunc('milliseconds', start_time, 'UTC')),
  CONSTRAINT price_version_end_time_check CHECK (end_time > start_time)
);
COMMENT ON TABLE price_version IS
  'The price book. Rows never change, but that the open end of a tier''s last version is closed by the next, without a gap.';
COMMENT ON COLUMN price_version.price_version_id IS 'Made by the database.';
COMMENT ON COLUMN price_version.tier IS 'standard, high-memory or gpu; the template says which one a sandbox is billed by.';
COMMENT ON COLUMN price_version.basis IS 'What the quantities are: ALLOCATED (cores and memory given) or MEASURED (used).';
COMMENT ON COLUMN price_version.usd_per_second IS 'USD per second of running, 0 to 1000.';
COMMENT ON COLUMN price_version.usd_per_core_second IS 'USD per core and second, 0 to 1000.';
COMMENT ON COLUMN price_version.usd_per_gib_second IS 'USD per GiB (1024 MiB) of memory and second, 0 to 1000.';
COMMENT ON COLUMN price_version.start_time IS 'In force from then on, inclusive, in whole milliseconds.';
COMMENT ON COLUMN price_version.end_time IS 'In force until then, exclusive; null while no later version is known.';
COMMENT ON COLUMN price_version.valid IS 'start_time to end_time, for the constraint against overlap.';
GRANT SELECT ON price_version TO sandkeeper_server;

CREATE FUNCTION price_version_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.end_time IS NULL AND NEW.end_time IS NOT NULL
     AND (NEW.price_version_id, NEW.tier, NEW.basis, NEW.usd_per_second, NEW.usd_per_core_second, NEW.usd_per_gib_second, NEW.start_time)
       = (OLD.price_version_id, OLD.tier, OLD.basis, OLD.usd_per_second, OLD.usd_per_core_second, OLD.usd_per_gib_second, OLD.start_time) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a price version never changes' USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'price_version_guard';
END
$$;
COMMENT ON FUNCTION price_version_guard() IS 'Refuses every change of a price version but the closing of its open end.';
CREATE TRIGGER price_version_guard BEFORE UPDATE OR DELETE ON price_version FOR EACH ROW EXECUTE FUNCTION price_version_guard();

-- E2B's published prices of 2026-11, since ever; the other tiers stay without a price until someone sets one, and what
-- has no price does not start.
INSERT INTO price_version (tier, basis, usd_per_second, usd_per_core_second, usd_per_gib_second, start_time)
VALUES ('standard', 'ALLOCATED', 0, 0.000014, 0.0000045, '1970-01-01 00:00:00+00');

CREATE TABLE template (
  name               text   NOT NULL,
  description        text   NOT NULL,
  tier               text   NOT NULL,
  engine             text   NOT NULL,
  default_cpu_cores  int    NOT NULL,
  min_cpu_cores      int    NOT NULL,
  max_cpu_cores      int    NOT NULL,
  default_memory_mib int    NOT NULL,
  min_memory_mib     int    NOT NULL,
  max_memory_mib     int    NOT NULL,
  default_disk_mib   int    NOT NULL,
  min_disk_mib       int    NOT NULL,
  max_disk_mib       int    NOT NULL,
  default_timeout_ms bigint NOT NULL,
  max_timeout_ms     bigint NOT NULL,
  CONSTRAINT template_pk PRIMARY KEY (name),
  CONSTRAINT template_name_check CHECK (name ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
  CONSTRAINT template_tier_check CHECK (tier IN ('standard', 'high-memory', 'gpu')),
  CONSTRAINT template_engine_check CHECK (engine IN ('local')),
  CONSTRAINT template_cpu_cores_check CHECK (min_cpu_cores >= 1 AND default_cpu_cores BETWEEN min_cpu_cores AND max_cpu_cores),
  CONSTRAINT template_memory_mib_check CHECK (min_memory_mib >= 1 AND default_memory_mib BETWEEN min_memory_mib AND max_memory_mib),
  CONSTRAINT template_disk_mib_check CHECK (min_disk_mib >= 1 AND default_disk_mib BETWEEN min_disk_mib AND max_disk_mib),
  CONSTRAINT template_timeout_ms_check CHECK (default_timeout_ms BETWEEN 1 AND max_timeout_ms)
);
COMMENT ON TABLE template IS 'What a sandbox is made from, and what it gets when it asks for nothing.';
COMMENT ON COLUMN template.name IS 'As CreateSandbox takes it.';
COMMENT ON COLUMN template.description IS 'What it is for.';
COMMENT ON COLUMN template.tier IS 'The price tier of its sandboxes; never chosen by a caller.';
COMMENT ON COLUMN template.engine IS 'The engine that runs them.';
COMMENT ON COLUMN template.default_cpu_cores IS 'Cores when none are asked for.';
COMMENT ON COLUMN template.min_cpu_cores IS 'Fewest cores that may be asked for.';
COMMENT ON COLUMN template.max_cpu_cores IS 'Most cores that may be asked for.';
COMMENT ON COLUMN template.default_memory_mib IS 'MiB of memory when none is asked for.';
COMMENT ON COLUMN template.min_memory_mib IS 'Least MiB of memory that may be asked for.';
COMMENT ON COLUMN template.max_memory_mib IS 'Most MiB of memory that may be asked for.';
COMMENT ON COLUMN template.default_disk_mib IS 'MiB of files when none are asked for.';
COMMENT ON COLUMN template.min_disk_mib IS 'Least MiB of files that may be asked for.';
COMMENT ON COLUMN template.max_disk_mib IS 'Most MiB of files that may be asked for.';
COMMENT ON COLUMN template.default_timeout_ms IS 'Milliseconds of life when none are asked for.';
COMMENT ON COLUMN template.max_timeout_ms IS 'Most milliseconds of life that may be asked for.';
GRANT SELECT ON template TO sandkeeper_server;

INSERT INTO template VALUES
  ('base', 'Python and Bash from the host''s own interpreters.', 'standard', 'local', 2, 1, 8, 1024, 512, 8192, 512, 64, 10240, 60000, 86400000),
  ('high-memory', 'As base, with more memory.', 'high-memory', 'local', 2, 1, 8, 4096, 512, 8192, 2048, 64, 10240, 60000, 86400000);

CREATE TABLE quota_limit (
  limit_id        bigint      GENERATED ALWAYS AS IDENTITY,
  tenant_id       text        NOT NULL,
  period          text        NOT NULL,
  amount_nano_usd bigint      NOT NULL,
  create_time     timestamptz NOT NULL,
  update_time     timestamptz NOT NULL,
  CONSTRAINT quota_limit_pk PRIMARY KEY (limit_id),
  CONSTRAINT quota_limit_tenant_fk FOREIGN KEY (tenant_id) REFERENCES tenant,
  CONSTRAINT quota_limit_scope_uq UNIQUE (tenant_id, period),
  CONSTRAINT quota_limit_period_check CHECK (period IN ('HOUR', 'DAY', 'WEEK', 'MONTH', 'LIFETIME')),
  CONSTRAINT quota_limit_amount_check CHECK (amount_nano_usd BETWEEN 0 AND 1000000000000000000)
);
COMMENT ON TABLE quota_limit IS 'How much money a tenant may spend in a period. Hard: nothing is admitted past it.';
COMMENT ON COLUMN quota_limit.limit_id IS 'Made by the database; the counters of several limits are locked in its order.';
COMMENT ON COLUMN quota_limit.tenant_id IS 'Whose spending it limits.';
COMMENT ON COLUMN quota_limit.period IS 'HOUR, DAY, WEEK (from Monday), MONTH or LIFETIME; periods begin in UTC.';
COMMENT ON COLUMN quota_limit.amount_nano_usd IS 'Nano-USD per period, 0 to 10^18.';
COMMENT ON COLUMN quota_limit.create_time IS 'When it was first set; billing clock.';
COMMENT ON COLUMN quota_limit.update_time IS 'When its amount was last set; billing clock.';
GRANT SELECT, INSERT, DELETE, UPDATE (amount_nano_usd, update_time) ON quota_limit TO sandkeeper_server;

CREATE TABLE quota_period (
  limit_id          bigint      NOT NULL,
  period_start      timestamptz NOT NULL,
  period_end        timestamptz,
  limit_nano_usd    bigint      NOT NULL,
  spent_nano_usd    bigint      NOT NULL DEFAULT 0,
  reserved_nano_usd bigint      NOT NULL DEFAULT 0,
  excess_nano_usd   bigint      NOT NULL DEFAULT 0,
  CONSTRAINT quota_period_pk PRIMARY KEY (limit_id, period_start),
  CONSTRAINT quota_period_limit_fk FOREIGN KEY (limit_id) REFERENCES quota_limit ON DELETE CASCADE,
  CONSTRAINT quota_period_end_check CHECK (period_end > period_start),
  CONSTRAINT quota_period_counters_check CHECK (spent_nano_usd >= 0 AND reserved_nano_usd >= 0 AND excess_nano_usd >= 0),
  -- Behind the guards of the functions: whatever goes past the limit must say so in the same statement.
  CONSTRAINT quota_period_limit_check CHECK (spent_nano_usd + reserved_nano_usd <= limit_nano_usd + excess_nano_usd)
) WITH (fillfactor = 50);
COMMENT ON TABLE quota_period IS
  'The counters of a limit in one period. A row appears when something first touches the period; half-filled pages keep its updates in place.';
COMMENT ON COLUMN quota_period.limit_id IS 'The limit.';
COMMENT ON COLUMN quota_period.period_start IS 'Start of the period, inclusive; the epoch for LIFETIME.';
COMMENT ON COLUMN quota_period.period_end IS 'End of the period, exclusive; null for LIFETIME.';
COMMENT ON COLUMN quota_period.limit_nano_usd IS 'The limit''s amount in this period; a period that is over keeps the one it had.';
COMMENT ON COLUMN quota_period.spent_nano_usd IS 'Nano-USD booked: the sum of the cost records in scope that start in the period.';
COMMENT ON COLUMN quota_period.reserved_nano_usd IS 'Nano-USD held: the sum of hold_limit of open holds for this row.';
COMMENT ON COLUMN quota_period.excess_nano_usd IS 'By how many nano-USD spent and reserved exceed the limit now; how that came is in quota_overrun.';
GRANT SELECT, INSERT, UPDATE, DELETE ON quota_period TO sandkeeper_server;

CREATE TABLE quota_overrun (
  quota_overrun_id bigint      GENERATED ALWAYS AS IDENTITY,
  limit_id         bigint      NOT NULL,
  period_start     timestamptz NOT NULL,
  reason           text        NOT NULL,
  sandbox_id       text,
  amount_nano_usd  bigint      NOT NULL,
  record_time      timestamptz NOT NULL,
  CONSTRAINT quota_overrun_pk PRIMARY KEY (quota_overrun_id),
  CONSTRAINT quota_overrun_period_fk FOREIGN KEY (limit_id, period_start) REFERENCES quota_period ON DELETE CASCADE,
  CONSTRAINT quota_overrun_reason_check CHECK (reason IN ('BOOKED', 'LOWERED', 'CREATED')),
  CONSTRAINT quota_overrun_amount_check CHECK (amount_nano_usd > 0)
);
CREATE INDEX quota_overrun_period_idx ON quota_overrun (limit_id, period_start);
COMMENT ON TABLE quota_overrun IS 'Each time that spent and reserved came to exceed a limit, and why. Append-only.';
COMMENT ON COLUMN quota_overrun.quota_overrun_id IS 'Made by the database.';
COMMENT ON COLUMN quota_overrun.limit_id IS 'The limit.';
COMMENT ON COLUMN quota_overrun.period_start IS 'The period.';
COMMENT ON COLUMN quota_overrun.reason IS
  'BOOKED: what had already happened cost more than was held. LOWERED: the limit was set below what is used. CREATED: a new limit found more used than it allows.';
COMMENT ON COLUMN quota_overrun.sandbox_id IS 'The sandbox that overran; null unless BOOKED.';
COMMENT ON COLUMN quota_overrun.amount_nano_usd IS 'By how many nano-USD the excess grew.';
COMMENT ON COLUMN quota_overrun.record_time IS 'When it was recorded; billing clock.';
GRANT SELECT, INSERT ON quota_overrun TO sandkeeper_server;
