package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.REPLICA;
import static dev.sandkeeper.jooq.Tables.SANDBOX;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.policy.CommandPolicies;
import dev.sandkeeper.server.policy.CommandPolicy;
import dev.sandkeeper.server.sandbox.ExhaustionPolicy;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.sandbox.SandboxRepository;
import dev.sandkeeper.server.sandbox.SandboxState;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.Record;
import org.jooq.impl.DSL;

/** Sandboxes in {@code sandbox}; their money is the ledger's. */
final class JooqSandboxRepository implements SandboxRepository {
  private static final List<Field<?>> COLUMNS =
      List.of(
          SANDBOX.SANDBOX_ID,
          SANDBOX.TENANT_ID,
          SANDBOX.TEMPLATE,
          SANDBOX.TIER,
          SANDBOX.ENGINE,
          SANDBOX.RUNTIME,
          SANDBOX.NODE_ID,
          SANDBOX.GENERATION,
          SANDBOX.STATE,
          SANDBOX.CPU_CORES,
          SANDBOX.MEMORY_MIB,
          SANDBOX.DISK_MIB,
          SANDBOX.TIMEOUT_MS,
          SANDBOX.IDLE_TIMEOUT_MS,
          SANDBOX.ON_EXHAUSTION,
          SANDBOX.NETWORK,
          SANDBOX.METADATA,
          SANDBOX.ORGANISATION_ID,
          SANDBOX.USER_ID,
          SANDBOX.CONVERSATION_ID,
          SANDBOX.PATH,
          SANDBOX.AGENT_ID,
          SANDBOX.TASK_ID,
          SANDBOX.CORRELATION_ID,
          SANDBOX.WORKFLOW_ID,
          SANDBOX.KEY_ID,
          SANDBOX.CREATE_TIME,
          SANDBOX.START_TIME,
          SANDBOX.EXPIRE_TIME,
          SANDBOX.END_TIME,
          SANDBOX.END_REASON,
          SANDBOX.PAID_UNTIL,
          SANDBOX.TEMPLATE_COMMAND_POLICY,
          SANDBOX.COMMAND_POLICY);
  private static final String[] FINAL_STATES =
      SandboxState.FINAL.stream().map(SandboxState::name).toArray(String[]::new);

  private final DSLContext context;

  JooqSandboxRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public void insert(Transaction transaction, Sandbox sandbox, RequestKey requestKey) {
    Attribution attribution = sandbox.attribution();
    JooqTransaction.contextOf(transaction)
        .insertInto(SANDBOX)
        .set(SANDBOX.SANDBOX_ID, sandbox.sandboxId().value())
        .set(SANDBOX.TENANT_ID, sandbox.tenantId().value())
        .set(SANDBOX.REQUEST_ID, requestKey.requestId())
        .set(SANDBOX.REQUEST_HASH, requestKey.contentHash())
        .set(SANDBOX.TEMPLATE, sandbox.template())
        .set(SANDBOX.TIER, sandbox.tier())
        .set(SANDBOX.ENGINE, sandbox.engine())
        .set(SANDBOX.RUNTIME, sandbox.runtime().orElse(null))
        .set(SANDBOX.NODE_ID, sandbox.nodeId())
        .set(SANDBOX.GENERATION, sandbox.generation())
        .set(SANDBOX.STATE, sandbox.state().name())
        .set(SANDBOX.CPU_CORES, sandbox.cpuCores())
        .set(SANDBOX.MEMORY_MIB, sandbox.memoryMib())
        .set(SANDBOX.DISK_MIB, sandbox.diskMib())
        .set(SANDBOX.TIMEOUT_MS, sandbox.timeout().toMillis())
        .set(SANDBOX.IDLE_TIMEOUT_MS, sandbox.idleTimeout().map(Duration::toMillis).orElse(null))
        .set(SANDBOX.ON_EXHAUSTION, sandbox.onExhaustion().name())
        .set(SANDBOX.NETWORK, NetworkPolicies.toJson(sandbox.network()).orElse(null))
        .set(SANDBOX.METADATA, JsonTexts.ofMap(sandbox.metadata()))
        .set(SANDBOX.ORGANISATION_ID, attribution.organisationId().orElse(null))
        .set(SANDBOX.USER_ID, attribution.userId().orElse(null))
        .set(SANDBOX.CONVERSATION_ID, attribution.conversationId().orElse(null))
        .set(SANDBOX.PATH, attribution.path().orElse(null))
        .set(SANDBOX.AGENT_ID, attribution.agentId().orElse(null))
        .set(SANDBOX.TASK_ID, attribution.taskId().orElse(null))
        .set(SANDBOX.CORRELATION_ID, attribution.correlationId().orElse(null))
        .set(SANDBOX.WORKFLOW_ID, attribution.workflowId().orElse(null))
        .set(SANDBOX.KEY_ID, sandbox.keyId())
        .set(SANDBOX.CREATE_TIME, sandbox.createTime())
        .set(SANDBOX.EXPIRE_TIME, sandbox.expireTime())
        .set(SANDBOX.PAID_UNTIL, sandbox.paidUntil())
        .set(
            SANDBOX.TEMPLATE_COMMAND_POLICY,
            sandbox.commandPolicies().template().format().toArray(String[]::new))
        .set(
            SANDBOX.COMMAND_POLICY,
            sandbox.commandPolicies().sandbox().format().toArray(String[]::new))
        .execute();
  }

  @Override
  public boolean start(
      Transaction transaction, Sandbox sandbox, Instant startTime, Optional<String> remoteId) {
    return JooqTransaction.contextOf(transaction)
            .update(SANDBOX)
            .set(SANDBOX.STATE, SandboxState.RUNNING.name())
            .set(SANDBOX.START_TIME, startTime)
            .set(SANDBOX.REMOTE_ID, remoteId.orElse(null))
            .where(is(sandbox.sandboxId(), sandbox.generation(), SandboxState.PENDING))
            .execute()
        == 1;
  }

  @Override
  public boolean move(Transaction transaction, Sandbox sandbox, String from) {
    return JooqTransaction.contextOf(transaction)
            .update(SANDBOX)
            .set(SANDBOX.ENGINE, sandbox.engine())
            .set(SANDBOX.RUNTIME, sandbox.runtime().orElse(null))
            .where(is(sandbox.sandboxId(), sandbox.generation(), SandboxState.PENDING))
            .and(SANDBOX.ENGINE.eq(from))
            .execute()
        == 1;
  }

  @Override
  public boolean stop(
      Transaction transaction, SandboxId sandboxId, long generation, EndReason reason) {
    return JooqTransaction.contextOf(transaction)
            .update(SANDBOX)
            .set(SANDBOX.STATE, SandboxState.STOPPING.name())
            .set(SANDBOX.END_REASON, reason.name())
            .where(is(sandboxId, generation, SandboxState.RUNNING, SandboxState.PAUSED))
            .execute()
        == 1;
  }

  @Override
  public Optional<Sandbox> find(SandboxId sandboxId) {
    return context
        .select(COLUMNS)
        .from(SANDBOX)
        .where(SANDBOX.SANDBOX_ID.eq(sandboxId.value()))
        .fetchOptional(JooqSandboxRepository::toSandbox);
  }

  @Override
  public List<Sandbox> findAll(Collection<SandboxId> sandboxIds) {
    return context
        .select(COLUMNS)
        .from(SANDBOX)
        .where(SANDBOX.SANDBOX_ID.in(sandboxIds.stream().map(SandboxId::value).toList()))
        .fetch(JooqSandboxRepository::toSandbox);
  }

  @Override
  public Map<String, Integer> countLive() {
    return context
        .select(SANDBOX.ENGINE, DSL.count())
        .from(SANDBOX)
        .where(SANDBOX.STATE.notIn(Arrays.asList(FINAL_STATES)))
        .groupBy(SANDBOX.ENGINE)
        .fetchMap(SANDBOX.ENGINE, DSL.count());
  }

  @Override
  public Optional<Requested> findRequested(SandboxId sandboxId) {
    return context
        .select(COLUMNS)
        .select(SANDBOX.REQUEST_HASH)
        .from(SANDBOX)
        .where(SANDBOX.SANDBOX_ID.eq(sandboxId.value()))
        .fetchOptional(row -> new Requested(toSandbox(row), row.get(SANDBOX.REQUEST_HASH)));
  }

  @Override
  public Page<Sandbox> list(Query query, Page.Request page) {
    List<Condition> conditions = new ArrayList<>();
    conditions.add(SANDBOX.TENANT_ID.eq(query.tenantId().value()));
    query.agentId().map(SANDBOX.AGENT_ID::eq).ifPresent(conditions::add);
    query.conversationId().map(SANDBOX.CONVERSATION_ID::eq).ifPresent(conditions::add);
    if (!query.states().isEmpty()) {
      conditions.add(SANDBOX.STATE.in(query.states().stream().map(SandboxState::name).toList()));
    }
    page.after()
        .map(after -> DSL.row(SANDBOX.CREATE_TIME, SANDBOX.SANDBOX_ID).lt(after.time(), after.id()))
        .ifPresent(conditions::add);
    List<Sandbox> rows =
        context
            .select(COLUMNS)
            .from(SANDBOX)
            .where(conditions)
            .orderBy(SANDBOX.CREATE_TIME.desc(), SANDBOX.SANDBOX_ID.desc())
            .limit(page.size() + 1)
            .fetch(JooqSandboxRepository::toSandbox);
    return Pages.of(
        rows, page.size(), last -> new Page.Position(last.createTime(), last.sandboxId().value()));
  }

  @Override
  public List<Sandbox> liveOn(String nodeId) {
    return context
        .select(COLUMNS)
        .from(SANDBOX)
        .where(SANDBOX.NODE_ID.eq(nodeId))
        .and(SANDBOX.CLAIMED_BY.isNull())
        .and(SANDBOX.STATE.notIn(Arrays.asList(FINAL_STATES)))
        .fetch(JooqSandboxRepository::toSandbox);
  }

  @Override
  public int claim(Transaction transaction, String nodeId, Duration timeout, int max) {
    return JooqTransaction.contextOf(transaction)
        .select(Routines.sandboxClaim(nodeId, timeout.toMillis(), max))
        .fetchSingle()
        .value1();
  }

  @Override
  public List<Claimed> claimedBy(String nodeId) {
    return context
        .select(COLUMNS)
        .select(REPLICA.PLACE)
        .from(SANDBOX)
        .leftJoin(REPLICA)
        .on(REPLICA.NODE_ID.eq(SANDBOX.NODE_ID))
        .where(SANDBOX.CLAIMED_BY.eq(nodeId))
        .and(SANDBOX.STATE.notIn(Arrays.asList(FINAL_STATES)))
        .fetch(row -> new Claimed(toSandbox(row), Optional.ofNullable(row.get(REPLICA.PLACE))));
  }

  private static Condition is(SandboxId sandboxId, long generation, SandboxState... states) {
    return SANDBOX
        .SANDBOX_ID
        .eq(sandboxId.value())
        .and(SANDBOX.GENERATION.eq(generation))
        .and(SANDBOX.STATE.in(Arrays.stream(states).map(SandboxState::name).toList()));
  }

  private static Sandbox toSandbox(Record row) {
    return new Sandbox(
        new SandboxId(row.get(SANDBOX.SANDBOX_ID)),
        new TenantId(row.get(SANDBOX.TENANT_ID)),
        row.get(SANDBOX.TEMPLATE),
        row.get(SANDBOX.TIER),
        row.get(SANDBOX.ENGINE),
        Optional.ofNullable(row.get(SANDBOX.RUNTIME)),
        row.get(SANDBOX.NODE_ID),
        row.get(SANDBOX.GENERATION),
        SandboxState.valueOf(row.get(SANDBOX.STATE)),
        row.get(SANDBOX.CPU_CORES),
        row.get(SANDBOX.MEMORY_MIB),
        row.get(SANDBOX.DISK_MIB),
        Duration.ofMillis(row.get(SANDBOX.TIMEOUT_MS)),
        Optional.ofNullable(row.get(SANDBOX.IDLE_TIMEOUT_MS)).map(Duration::ofMillis),
        ExhaustionPolicy.valueOf(row.get(SANDBOX.ON_EXHAUSTION)),
        NetworkPolicies.of(Optional.ofNullable(row.get(SANDBOX.NETWORK))),
        JsonTexts.toMap(row.get(SANDBOX.METADATA)),
        new Attribution(
            Optional.ofNullable(row.get(SANDBOX.ORGANISATION_ID)),
            Optional.ofNullable(row.get(SANDBOX.USER_ID)),
            Optional.ofNullable(row.get(SANDBOX.CONVERSATION_ID)),
            Optional.ofNullable(row.get(SANDBOX.PATH)),
            Optional.ofNullable(row.get(SANDBOX.AGENT_ID)),
            Optional.ofNullable(row.get(SANDBOX.TASK_ID)),
            Optional.ofNullable(row.get(SANDBOX.CORRELATION_ID)),
            Optional.ofNullable(row.get(SANDBOX.WORKFLOW_ID))),
        row.get(SANDBOX.KEY_ID),
        row.get(SANDBOX.CREATE_TIME),
        Optional.ofNullable(row.get(SANDBOX.START_TIME)),
        row.get(SANDBOX.EXPIRE_TIME),
        Optional.ofNullable(row.get(SANDBOX.END_TIME)),
        Optional.ofNullable(row.get(SANDBOX.END_REASON)).map(EndReason::valueOf),
        row.get(SANDBOX.PAID_UNTIL),
        new CommandPolicies(
            CommandPolicy.parse(List.of(row.get(SANDBOX.TEMPLATE_COMMAND_POLICY))),
            CommandPolicy.parse(List.of(row.get(SANDBOX.COMMAND_POLICY)))));
  }
}
