package dev.sandkeeper.server.ledger;

import static dev.sandkeeper.jooq.Tables.API_KEY;
import static dev.sandkeeper.jooq.Tables.EXECUTION;
import static dev.sandkeeper.jooq.Tables.SANDBOX;
import static dev.sandkeeper.jooq.Tables.TENANT;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.engine.FakeSandbox;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.store.JooqTransactions;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.StoreAccess;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import org.jooq.DSLContext;
import org.jooq.JSONB;
import org.jspecify.annotations.Nullable;

/** The ledger over a real database, and the rows that other rooms would write. */
final class Books {
  static final Duration LEASE = Duration.ofSeconds(60);
  static final Duration STOP_TIME = Duration.ofSeconds(5);
  static final EngineCapacity UNBOUNDED = new EngineCapacity("local", OptionalInt.empty());
  static final LedgerSettings SETTINGS = new LedgerSettings(LEASE, STOP_TIME);

  private static final Page.Request FIRST_PAGE = new Page.Request(1000, Optional.empty());
  private static final AtomicInteger COUNTER = new AtomicInteger();
  private static final byte[] HASH = new byte[32];

  final JooqTransactions transactions;
  final Ledger ledger;
  final Limits limits;
  final Prices prices;
  final CostRepository costs;
  private final IdGenerator ids = new IdGenerator(new Random());

  Books(DatabaseExtension database) {
    this(database.transactions());
  }

  Books(JooqTransactions transactions) {
    this.transactions = transactions;
    ledger = new Ledger(LedgerRepositories.ledger(transactions), SETTINGS);
    limits = new Limits(LedgerRepositories.limits(transactions));
    prices = new Prices(LedgerRepositories.prices(transactions), SETTINGS);
    costs = LedgerRepositories.costs(transactions);
  }

  /** Returns the books of what others spend, by the test's own clock. */
  LlmSpend spend(BillingClock clock) {
    return new LlmSpend(
        transactions, LedgerRepositories.llm(transactions), clock, _ -> {}, (_, _) -> {});
  }

  /** Adds a tenant of its own for a test. */
  TenantId tenant() {
    TenantId tenant = new TenantId("tenant-" + COUNTER.incrementAndGet());
    transactions
        .context()
        .insertInto(TENANT, TENANT.TENANT_ID, TENANT.CREATE_TIME)
        .values(tenant.value(), Instant.EPOCH)
        .execute();
    byte[] secretHash = new byte[32];
    new Random().nextBytes(secretHash);
    transactions
        .context()
        .insertInto(
            API_KEY,
            API_KEY.KEY_ID,
            API_KEY.TENANT_ID,
            API_KEY.NAME,
            API_KEY.SECRET_HASH,
            API_KEY.SCOPES,
            API_KEY.CREATE_TIME)
        .values(tenant.value(), tenant.value(), "", secretHash, new String[] {"run"}, Instant.EPOCH)
        .execute();
    return tenant;
  }

  /** What a test wants to run. */
  record Wish(
      TenantId tenant,
      UUID requestId,
      SandboxId sandboxId,
      Attribution attribution,
      String tier,
      int cpuCores,
      int memoryMib,
      Duration timeout) {
    Wish withRequestId(UUID other) {
      return new Wish(tenant, other, sandboxId, attribution, tier, cpuCores, memoryMib, timeout);
    }

    Wish withTimeout(Duration other) {
      return new Wish(tenant, requestId, sandboxId, attribution, tier, cpuCores, memoryMib, other);
    }

    Wish withAttribution(Attribution other) {
      return new Wish(tenant, requestId, sandboxId, other, tier, cpuCores, memoryMib, timeout);
    }
  }

  /** E2B's default sandbox, for an hour. */
  Wish wish(TenantId tenant) {
    return wish(tenant, "standard", 2, 512);
  }

  Wish wish(TenantId tenant, String tier, int cpuCores, int memoryMib) {
    return new Wish(
        tenant,
        UUID.randomUUID(),
        ids.sandboxId(),
        attribution(null, null, "conversation", "agent"),
        tier,
        cpuCores,
        memoryMib,
        Duration.ofHours(1));
  }

  static Attribution attribution(
      @Nullable String organisation,
      @Nullable String user,
      @Nullable String conversation,
      @Nullable String agent) {
    return new Attribution(
        Optional.ofNullable(organisation),
        Optional.ofNullable(user),
        Optional.ofNullable(conversation),
        Optional.empty(),
        Optional.ofNullable(agent),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  /** Admits, and adds the sandbox's row as its room would. */
  Admission admit(Wish wish, Instant now) {
    return admit(wish, UNBOUNDED, now);
  }

  /** Admits to an engine with so many places, and adds the sandbox's row as its room would. */
  Admission admit(Wish wish, EngineCapacity engine, Instant now) {
    return transactions.call(transaction -> {
      Admission admission =
          ledger.admit(
              transaction,
              new AdmissionRequest(
                  wish.tenant(),
                  wish.requestId(),
                  wish.sandboxId(),
                  wish.attribution(),
                  wish.tier(),
                  engine,
                  wish.cpuCores(),
                  wish.memoryMib(),
                  wish.timeout()),
              now);
      if (admission instanceof Admission.Granted granted) {
        insert(StoreAccess.contextOf(transaction), wish, engine.engine(), granted.paidUntil(), now);
      }
      return admission;
    });
  }

  /** Admits and starts at the same moment. */
  SandboxId run(Wish wish, Instant now) {
    return run(wish, UNBOUNDED, now);
  }

  /** Admits to an engine and starts at the same moment. */
  SandboxId run(Wish wish, EngineCapacity engine, Instant now) {
    Admission admission = admit(wish, engine, now);
    if (!(admission instanceof Admission.Granted)) {
      throw new AssertionError(admission);
    }
    start(wish, now);
    return wish.sandboxId();
  }

  void start(Wish wish, Instant now) {
    transactions
        .context()
        .update(SANDBOX)
        .set(SANDBOX.STATE, "RUNNING")
        .set(SANDBOX.START_TIME, now)
        .set(SANDBOX.REMOTE_ID, FakeSandbox.remoteId(wish.sandboxId()))
        .set(SANDBOX.EXPIRE_TIME, now.plus(wish.timeout()))
        .where(SANDBOX.SANDBOX_ID.eq(wish.sandboxId().value()), SANDBOX.STATE.eq("PENDING"))
        .execute();
  }

  Extension extend(SandboxId sandbox, Instant now) {
    return extend(sandbox, UsageReading.NOTHING, now);
  }

  Extension extend(SandboxId sandbox, UsageReading usage, Instant now) {
    return transactions.call(transaction -> ledger.extend(transaction, sandbox, 1, usage, now));
  }

  Extension pause(SandboxId sandbox, UsageReading usage, Instant now) {
    return transactions.call(transaction -> ledger.pause(transaction, sandbox, 1, usage, now));
  }

  Extension pause(SandboxId sandbox, Instant now) {
    return pause(sandbox, UsageReading.NOTHING, now);
  }

  Extension resume(SandboxId sandbox, UsageReading usage, Instant now) {
    return transactions.call(
        transaction -> ledger.resume(transaction, sandbox, 1, usage, UNBOUNDED, now));
  }

  Extension resume(SandboxId sandbox, Instant now) {
    return resume(sandbox, UsageReading.NOTHING, now);
  }

  Settlement settle(SandboxId sandbox, Instant end) {
    return settle(sandbox, Optional.of(UsageReading.NOTHING), end);
  }

  Settlement settle(SandboxId sandbox, Optional<UsageReading> usage, Instant end) {
    return transactions.call(
        transaction -> ledger.settle(transaction, sandbox, 1, usage, end, EndReason.TERMINATED));
  }

  ExecutionId execute(TenantId tenant, SandboxId sandbox, Instant start) {
    ExecutionId execution = ids.executionId();
    transactions
        .context()
        .insertInto(EXECUTION)
        .set(EXECUTION.EXECUTION_ID, execution.value())
        .set(EXECUTION.SANDBOX_ID, sandbox.value())
        .set(EXECUTION.TENANT_ID, tenant.value())
        .set(EXECUTION.REQUEST_ID, UUID.randomUUID())
        .set(EXECUTION.REQUEST_HASH, HASH)
        .set(EXECUTION.KIND, "command")
        .set(EXECUTION.STATE, "RUNNING")
        .set(EXECUTION.START_TIME, start)
        .set(EXECUTION.CODE_HASH, HASH)
        .execute();
    return execution;
  }

  void finish(ExecutionId execution, Instant end) {
    transactions
        .context()
        .update(EXECUTION)
        .set(EXECUTION.STATE, "FINISHED")
        .set(EXECUTION.REASON, "COMPLETED")
        .set(EXECUTION.END_TIME, end)
        .where(EXECUTION.EXECUTION_ID.eq(execution.value()))
        .execute();
  }

  NanoUsd executionCost(ExecutionId execution, Instant now) {
    return new NanoUsd(
        Routines.ledgerExecutionCost(
            transactions.context().configuration(), execution.value(), now, null));
  }

  Limit limit(TenantId tenant, LimitPeriod period, long nanoUsd, Instant now) {
    return limit(
        new LimitSpec(
            tenant,
            LimitScope.TENANT,
            "",
            LimitResource.ALL_SPEND,
            period,
            LimitSpec.UTC,
            LimitEnforcement.HARD,
            nanoUsd,
            List.of()),
        now);
  }

  Limit limit(LimitSpec spec, Instant now) {
    return transactions.call(transaction -> limits.set(transaction, spec, now));
  }

  Price price(String tier, PriceBasis basis, Rates rates, Instant start, Instant now) {
    return price(tier, basis, rates, rates.ofPausedTime(), start, now);
  }

  Price price(
      String tier, PriceBasis basis, Rates rates, Rates paused, Instant start, Instant now) {
    return transactions.call(transaction ->
        prices.create(transaction, tier, basis, rates, paused, Optional.of(start), now));
  }

  QuotaStatus quota(TenantId tenant, Instant now) {
    return quotas(tenant, now).getFirst();
  }

  List<QuotaStatus> quotas(TenantId tenant, Instant now) {
    return limits.quota(ofAllScopes(tenant), FIRST_PAGE, now).items();
  }

  private static LimitQuery ofAllScopes(TenantId tenant) {
    return new LimitQuery(tenant, Optional.empty(), Optional.empty());
  }

  List<Limit> limits(TenantId tenant) {
    return limits.list(ofAllScopes(tenant), FIRST_PAGE).items();
  }

  /** Returns the cost records of a sandbox, oldest first. */
  List<CostRecord> records(TenantId tenant, SandboxId sandbox) {
    return costs.list(CostQuery.of(tenant).withSandboxId(sandbox), FIRST_PAGE).items().reversed();
  }

  static UsageReading reading(long cpuMicros, long memoryMibMillis) {
    return new UsageReading(
        OptionalLong.of(cpuMicros), OptionalLong.of(memoryMibMillis), OptionalLong.of(1));
  }

  private static void insert(
      DSLContext context, Wish wish, String engine, Instant paidUntil, Instant now) {
    context
        .insertInto(SANDBOX)
        .set(SANDBOX.SANDBOX_ID, wish.sandboxId().value())
        .set(SANDBOX.TENANT_ID, wish.tenant().value())
        .set(SANDBOX.REQUEST_ID, wish.requestId())
        .set(SANDBOX.REQUEST_HASH, HASH)
        .set(SANDBOX.TEMPLATE, "base")
        .set(SANDBOX.TIER, wish.tier())
        .set(SANDBOX.ENGINE, engine)
        .set(SANDBOX.NODE_ID, "node")
        .set(SANDBOX.GENERATION, 1L)
        .set(SANDBOX.STATE, "PENDING")
        .set(SANDBOX.CPU_CORES, wish.cpuCores())
        .set(SANDBOX.MEMORY_MIB, wish.memoryMib())
        .set(SANDBOX.DISK_MIB, 1024)
        .set(SANDBOX.TIMEOUT_MS, wish.timeout().toMillis())
        .set(SANDBOX.METADATA, JSONB.valueOf("{}"))
        .set(SANDBOX.ORGANISATION_ID, wish.attribution().organisationId().orElse(null))
        .set(SANDBOX.USER_ID, wish.attribution().userId().orElse(null))
        .set(SANDBOX.CONVERSATION_ID, wish.attribution().conversationId().orElse(null))
        .set(SANDBOX.AGENT_ID, wish.attribution().agentId().orElse(null))
        .set(SANDBOX.KEY_ID, wish.tenant().value())
        .set(SANDBOX.CREATE_TIME, now)
        .set(SANDBOX.EXPIRE_TIME, now.plus(wish.timeout()))
        .set(SANDBOX.PAID_UNTIL, paidUntil)
        .execute();
  }
}
