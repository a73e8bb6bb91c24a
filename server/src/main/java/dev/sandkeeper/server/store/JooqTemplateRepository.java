package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.TEMPLATE;

import dev.sandkeeper.jooq.tables.records.TemplateRecord;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.policy.CommandPolicy;
import dev.sandkeeper.server.sandbox.Template;
import dev.sandkeeper.server.sandbox.TemplateRepository;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.jooq.DSLContext;

/** Templates in {@code template}. */
final class JooqTemplateRepository implements TemplateRepository {
  private final DSLContext context;

  JooqTemplateRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Optional<Template> find(String name) {
    return context
        .selectFrom(TEMPLATE)
        .where(TEMPLATE.NAME.eq(name))
        .fetchOptional(JooqTemplateRepository::toTemplate);
  }

  @Override
  public List<Template> list() {
    return context
        .selectFrom(TEMPLATE)
        .orderBy(TEMPLATE.NAME)
        .fetch(JooqTemplateRepository::toTemplate);
  }

  @Override
  public int count(Transaction transaction) {
    return JooqTransaction.lockedContextOf(transaction, "sandkeeper.template").fetchCount(TEMPLATE);
  }

  @Override
  public boolean insert(Transaction transaction, Template template) {
    return JooqTransaction.contextOf(transaction)
            .insertInto(TEMPLATE)
            .set(toRow(template))
            .onConflictDoNothing()
            .execute()
        == 1;
  }

  @Override
  public Optional<Template> lock(Transaction transaction, String name) {
    return JooqTransaction.contextOf(transaction)
        .selectFrom(TEMPLATE)
        .where(TEMPLATE.NAME.eq(name))
        .forUpdate()
        .fetchOptional(JooqTemplateRepository::toTemplate);
  }

  @Override
  public void update(Transaction transaction, Template template) {
    JooqTransaction.contextOf(transaction)
        .update(TEMPLATE)
        .set(toRow(template))
        .where(TEMPLATE.NAME.eq(template.name()))
        .execute();
  }

  @Override
  public boolean delete(Transaction transaction, String name) {
    return JooqTransaction.contextOf(transaction)
            .deleteFrom(TEMPLATE)
            .where(TEMPLATE.NAME.eq(name))
            .execute()
        == 1;
  }

  private static TemplateRecord toRow(Template template) {
    TemplateRecord row = new TemplateRecord();
    row.setName(template.name());
    row.setDescription(template.description());
    row.setTier(template.tier());
    row.setEngine(template.engine().orElse(null));
    row.setEngineTemplate(template.engineTemplate().orElse(null));
    row.setFallbackEngines(template.fallbackEngines().toArray(String[]::new));
    row.setRuntime(template.runtime().orElse(null));
    row.setDefaultCpuCores(template.cpuCores().standard());
    row.setMinCpuCores(template.cpuCores().min());
    row.setMaxCpuCores(template.cpuCores().max());
    row.setDefaultMemoryMib(template.memoryMib().standard());
    row.setMinMemoryMib(template.memoryMib().min());
    row.setMaxMemoryMib(template.memoryMib().max());
    row.setDiskMib(template.diskMib());
    row.setDefaultTimeoutMs(template.defaultTimeout().toMillis());
    row.setMaxTimeoutMs(template.maxTimeout().toMillis());
    row.setImports(template.imports().toArray(String[]::new));
    row.setNetwork(NetworkPolicies.toJson(template.network()).orElse(null));
    row.setMaxNetwork(NetworkPolicies.toJson(template.maxNetwork()).orElse(null));
    row.setCommandPolicy(template.commandPolicy().format().toArray(String[]::new));
    return row;
  }

  private static Template toTemplate(TemplateRecord row) {
    return new Template(
        row.getName(),
        row.getDescription(),
        row.getTier(),
        Optional.ofNullable(row.getEngine()),
        Optional.ofNullable(row.getEngineTemplate()),
        List.of(row.getFallbackEngines()),
        Optional.ofNullable(row.getRuntime()),
        new Template.Range(row.getDefaultCpuCores(), row.getMinCpuCores(), row.getMaxCpuCores()),
        new Template.Range(row.getDefaultMemoryMib(), row.getMinMemoryMib(), row.getMaxMemoryMib()),
        row.getDiskMib(),
        Duration.ofMillis(row.getDefaultTimeoutMs()),
        Duration.ofMillis(row.getMaxTimeoutMs()),
        List.of(row.getImports()),
        NetworkPolicies.of(Optional.ofNullable(row.getNetwork())),
        NetworkPolicies.of(Optional.ofNullable(row.getMaxNetwork())),
        CommandPolicy.parse(List.of(row.getCommandPolicy())));
  }
}
