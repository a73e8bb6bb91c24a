package dev.sandkeeper.server.audit;

import static dev.sandkeeper.jooq.Tables.TENANT;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.JooqTransactions;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

// Goal: the record is complete, ordered and cannot be changed unseen. Method: a real database, in
// which the owner of the schema plays the forger.
final class AuditLogTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final AtomicInteger COUNTER = new AtomicInteger();
  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00.123456Z");
  private static final SandboxId SANDBOX = new SandboxId("s".repeat(20));

  private final JooqTransactions transactions = database.transactions();
  private final AuditLog log = LedgerRepositories.auditLog(transactions);
  private final TenantId tenant = tenant();

  @Test
  void eventComesBackAsItWasRecorded() {
    AuditEntry entry = full();

    append(entry);

    AuditEvent event = list(10).items().getFirst();
    assertThat(event.sequence()).isEqualTo(1);
    assertThat(event.entry()).usingRecursiveComparison().isEqualTo(entry);
    assertThat(event.previousHash()).isEqualTo(new byte[32]);
  }

  @Test
  void hashCanBeRecomputedOutsideTheDatabase() throws Exception {
    append(full());

    AuditEvent event = list(10).items().getFirst();
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    digest.update(new byte[32]);
    String[] fields = {
      "1",
      tenant.value(),
      "1",
      Long.toString(NOON.getEpochSecond() * 1_000_000 + 123_456),
      "key",
      "Jörg",
      "agent",
      "192.0.2.1",
      "client/1",
      "run_code",
      SANDBOX.value(),
      "e".repeat(20),
      "conversation",
      "path",
      "task",
      "01".repeat(32),
      "02".repeat(32),
      "03".repeat(32),
      "0",
      "1500",
      "7",
      "8",
      "9",
      "ok",
      null
    };
    for (String field : fields) {
      if (field == null) {
        digest.update((byte) '-');
      } else {
        byte[] bytes = field.getBytes(StandardCharsets.UTF_8);
        digest.update((bytes.length + ":").getBytes(StandardCharsets.UTF_8));
        digest.update(ByteBuffer.wrap(bytes));
      }
    }
    assertThat(event.hash()).isEqualTo(digest.digest());
  }

  @Test
  void emptyChainIsIntact() {
    assertThat(log.verify(tenant))
        .isEqualTo(new AuditLog.Verification(0, Optional.empty(), OptionalLong.empty()));
  }

  @Test
  void chainsAreIntactAndApart() {
    TenantId other = tenant();
    append(AuditEntry.of(tenant, NOON, AuditOperation.CREATE));
    append(AuditEntry.of(other, NOON, AuditOperation.CREATE));
    append(AuditEntry.of(tenant, NOON, AuditOperation.TERMINATE).withOutcome("QUOTA_EXCEEDED"));

    assertThat(log.verify(tenant).intact()).isTrue();
    assertThat(log.verify(tenant).eventCount()).isEqualTo(2);
    assertThat(log.verify(tenant).headHash().orElseThrow())
        .isEqualTo(list(10).items().getFirst().hash());
    assertThat(log.verify(other).eventCount()).isEqualTo(1);
  }

  @ParameterizedTest
  @CsvSource({
    "update audit_event set detail = 'forged' where sequence = 2, 2",
    "update audit_event set outcome = 'no' where sequence = 5, 5",
    "update audit_event set event_time = event_time + interval '1 microsecond' where sequence = 3, 3",
    "update audit_event set previous_hash = hash where sequence = 4, 4",
    "delete from audit_event where sequence = 1, 1",
    "delete from audit_event where sequence = 3, 3",
    "delete from audit_event where sequence = 5, 5",
    "update audit_head set sequence = 4, 5"
  })
  void tamperingIsSeen(String forgery, long firstBroken) {
    for (int i = 0; i < 5; i++) {
      append(AuditEntry.of(tenant, NOON, AuditOperation.CREATE));
    }
    String ours =
        forgery
            + (forgery.contains(" where ") ? " and" : " where")
            + " tenant_id = '"
            + tenant
            + "'";
    database.ownerContext().execute(ours);

    assertThat(log.verify(tenant).firstBrokenSequence()).hasValue(firstBroken);
  }

  @Test
  void concurrentAppendsLeaveNoGap() throws Exception {
    int callers = 8;
    int each = 20;
    CyclicBarrier barrier = new CyclicBarrier(callers);
    List<Long> sequences = new ArrayList<>();
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<List<Long>>> futures = new ArrayList<>();
      for (int i = 0; i < callers; i++) {
        futures.add(
            executor.submit(() -> {
              barrier.await();
              List<Long> mine = new ArrayList<>();
              for (int n = 0; n < each; n++) {
                mine.add(append(AuditEntry.of(tenant, NOON, AuditOperation.CREATE)));
              }
              return mine;
            }));
      }
      for (Future<List<Long>> future : futures) {
        sequences.addAll(future.get());
      }
    }

    assertThat(sequences)
        .containsExactlyInAnyOrderElementsOf(
            LongStream.rangeClosed(1, (long) callers * each).boxed().toList());
    assertThat(log.verify(tenant).intact()).isTrue();
  }

  @Test
  void eventsComeInPagesNewestFirst() {
    for (int i = 0; i < 5; i++) {
      append(AuditEntry.of(tenant, NOON, AuditOperation.CREATE));
    }
    append(AuditEntry.of(tenant, NOON, AuditOperation.TERMINATE).on(SANDBOX, Attribution.NONE));

    Page<AuditEvent> first = list(4);
    Page<AuditEvent> second = log.list(tenant, Optional.empty(), new Page.Request(4, first.next()));

    assertThat(first.items()).extracting(AuditEvent::sequence).containsExactly(6L, 5L, 4L, 3L);
    assertThat(second.items()).extracting(AuditEvent::sequence).containsExactly(2L, 1L);
    assertThat(second.next()).isEmpty();
    assertThat(
            log.list(tenant, Optional.of(SANDBOX), new Page.Request(4, Optional.empty())).items())
        .extracting(AuditEvent::sequence)
        .containsExactly(6L);
  }

  private AuditEntry full() {
    Principal principal =
        new Principal(
            tenant,
            "key",
            Set.of(Scope.RUN),
            Optional.of("agent"),
            new Principal.Origin("192.0.2.1", "client/1"));
    Attribution attribution =
        new Attribution(
            Optional.empty(),
            Optional.of("Jörg"),
            Optional.of("conversation"),
            Optional.of("path"),
            Optional.empty(),
            Optional.of("task"),
            Optional.empty(),
            Optional.empty());
    return AuditEntry.of(tenant, NOON, AuditOperation.RUN_CODE)
        .by(principal)
        .on(SANDBOX, attribution)
        .ran(
            new ExecutionId("e".repeat(20)),
            new AuditEntry.Run(
                Optional.of(bytes(1)),
                Optional.of(bytes(2)),
                Optional.of(bytes(3)),
                OptionalInt.of(0),
                Optional.of(Duration.ofMillis(1500)),
                OptionalLong.of(7),
                OptionalLong.of(8),
                OptionalLong.of(9)));
  }

  private static byte[] bytes(int value) {
    byte[] bytes = new byte[32];
    Arrays.fill(bytes, (byte) value);
    return bytes;
  }

  private Page<AuditEvent> list(int size) {
    return log.list(tenant, Optional.empty(), new Page.Request(size, Optional.empty()));
  }

  private long append(AuditEntry entry) {
    return transactions.call(transaction -> log.append(transaction, entry));
  }

  private TenantId tenant() {
    TenantId made = new TenantId("tenant-" + COUNTER.incrementAndGet());
    transactions
        .context()
        .insertInto(TENANT, TENANT.TENANT_ID, TENANT.CREATE_TIME)
        .values(made.value(), Instant.EPOCH)
        .execute();
    return made;
  }
}
