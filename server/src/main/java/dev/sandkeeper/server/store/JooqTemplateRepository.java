package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.TEMPLATE;

import dev.sandkeeper.server.sandbox.Template;
import dev.sandkeeper.server.sandbox.TemplateRepository;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.jooq.DSLContext;
import org.jooq.Record;

/** Templates in {@code template}. */
final class JooqTemplateRepository implements TemplateRepository {
  private final DSLContext context;

  JooqTemplateRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Optional<Template> find(String name) {
    return context
        .select(TEMPLATE.fields())
        .from(TEMPLATE)
        .where(TEMPLATE.NAME.eq(name))
        .fetchOptional(JooqTemplateRepository::toTemplate);
  }

  @Override
  public List<Template> list() {
    return context
        .select(TEMPLATE.fields())
        .from(TEMPLATE)
        .orderBy(TEMPLATE.NAME)
        .fetch(JooqTemplateRepository::toTemplate);
  }

  private static Template toTemplate(Record row) {
    return new Template(
        row.get(TEMPLATE.NAME),
        row.get(TEMPLATE.DESCRIPTION),
        row.get(TEMPLATE.TIER),
        row.get(TEMPLATE.ENGINE),
        new Template.Range(
            row.get(TEMPLATE.DEFAULT_CPU_CORES),
            row.get(TEMPLATE.MIN_CPU_CORES),
            row.get(TEMPLATE.MAX_CPU_CORES)),
        new Template.Range(
            row.get(TEMPLATE.DEFAULT_MEMORY_MIB),
            row.get(TEMPLATE.MIN_MEMORY_MIB),
            row.get(TEMPLATE.MAX_MEMORY_MIB)),
        new Template.Range(
            row.get(TEMPLATE.DEFAULT_DISK_MIB),
            row.get(TEMPLATE.MIN_DISK_MIB),
            row.get(TEMPLATE.MAX_DISK_MIB)),
        Duration.ofMillis(row.get(TEMPLATE.DEFAULT_TIMEOUT_MS)),
        Duration.ofMillis(row.get(TEMPLATE.MAX_TIMEOUT_MS)),
        List.of(row.get(TEMPLATE.IMPORTS)));
  }
}
