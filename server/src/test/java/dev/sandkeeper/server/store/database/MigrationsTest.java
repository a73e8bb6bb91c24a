package dev.sandkeeper.server.store.database;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.util.List;
import javax.sql.DataSource;
import org.flywaydb.core.Flyway;
import org.jooq.DSLContext;
import org.jooq.SQLDialect;
import org.jooq.exception.DataAccessException;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Data folders outlive servers: what an earlier one wrote must be sound under a later schema. */
class MigrationsTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  @Test
  void importsOfATemplateAreModuleNames() throws Exception {
    DataSource owner = database.newEmptyDatabase();
    Migrations.apply(owner);
    DSLContext context = DSL.using(owner, SQLDialect.POSTGRES);
    String update = "update template set imports = ?::text[] where name = 'base'";

    for (String good : List.of("{}", "{numpy}", "{_a.b_2,c}", "{" + "x".repeat(100) + "}")) {
      assertThat(context.execute(update, good)).isEqualTo(1);
    }
    for (String bad :
        List.of(
            "{\"\"}",
            "{NULL}",
            "{\"a,b\"}",
            "{\"a b\"}",
            "{2a}",
            "{a.}",
            "{a..b}",
            "{a-b}",
            "{" + "x".repeat(101) + "}",
            "{" + "a,".repeat(16) + "a}")) {
      assertThatExceptionOfType(DataAccessException.class)
          .as(bad)
          .isThrownBy(() -> context.execute(update, bad))
          .withMessageContaining("template_imports_check");
    }
  }

  @Test
  void holdsOfALiveSandboxKeepWhatTheyCharge() throws Exception {
    DataSource owner = database.newEmptyDatabase();
    // Its functions were made by versioned migrations; those of today know tables that it had not.
    Flyway.configure()
        .dataSource(owner)
        .target("9")
        .repeatableSqlMigrationPrefix("none")
        .load()
        .migrate();
    DSLContext context = DSL.using(owner, SQLDialect.POSTGRES);
    context.execute(
        """
        insert into tenant (tenant_id, create_time) values ('acme', now());
        insert into api_key (key_id, tenant_id, name, secret_hash, scopes, create_time)
        values ('key', 'acme', '', sha256('key'), '{run}', now());
        begin;
        select ledger_set_limit('acme', 'DAY', 1000000000, '2026-03-10 12:00:00+00');
        select ledger_set_limit('acme', 'MONTH', 1000000000, '2026-03-10 12:00:00+00');
        select ledger_admit('acme', gen_random_uuid(), 'aaaaaaaaaaaaaaaaaaaa', 'standard', 2, 512, 60000, 5000,
          '2026-03-10 23:59:30+00');
        insert into sandbox (
          sandbox_id, tenant_id, request_id, request_hash, template, tier, engine, node_id, generation, state, cpu_cores,
          memory_mib, disk_mib, timeout_ms, metadata, user_id, key_id, create_time, start_time, expire_time, paid_until)
        values (
          'aaaaaaaaaaaaaaaaaaaa', 'acme', gen_random_uuid(), sha256(''), 'base', 'standard', 'local', 'node', 1, 'RUNNING', 2,
          512, 1024, 3600000, '{}', 'ada', 'key', '2026-03-10 23:59:30+00', '2026-03-10 23:59:30+00',
          '2026-03-11 00:59:30+00', '2026-03-11 00:00:30+00');
        select ledger_extend('aaaaaaaaaaaaaaaaaaaa', 1, null, null, null, 60000, '2026-03-10 23:59:40+00');
        commit;
        """);

    Migrations.apply(owner);

    assertThat(context.fetch("select subject || ': ' || detail from ledger_violations()"))
        .isEmpty();
    assertThat(context.fetchSingle("select user_id, charged_amounts from hold").formatCSV())
        .contains("ada");
    assertThat(context.fetchSingle("select count(*) from cost_record_2026_03").get(0))
        .isEqualTo(1L);
    // The day it began in, the next one, and the month.
    assertThat(context.fetchSingle("select cardinality(charged_limits) from hold").get(0))
        .isEqualTo(3);
    context.fetch(
        "select ledger_settle('aaaaaaaaaaaaaaaaaaaa', 1, null, null, null, false, '2026-03-11 00:00:10+00', 'TERMINATED')");
    assertThat(context.fetch("select subject || ': ' || detail from ledger_violations()"))
        .isEmpty();
    assertThat(
            context.fetchSingle("select sum(spent)::bigint from quota_period").get(0, Long.class))
        .isEqualTo(2 * 40 * 30_250);
  }
}
