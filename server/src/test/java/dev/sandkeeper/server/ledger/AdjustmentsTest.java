package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

final class AdjustmentsTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");
  private static final Instant NEXT_DAY = NOON.plus(Duration.ofDays(1));
  private static final Page.Request FIRST_PAGE = new Page.Request(100, Optional.empty());
  private static final int CALLERS = 8;

  private final Books books = new Books(database);
  private final TenantId tenant = books.tenant();
  private final Adjustments adjustments = new Adjustments(LedgerRepositories.adjustments());
  private Instant now = NOON;
  private final LlmSpend spend = books.spend(() -> now);

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @Test
  void correctionBelongsToThePeriodOfItsRecord() {
    books.limit(tenant, LimitPeriod.DAY, 1000, NOON);
    CostRecord record = spent(100);

    String id = correct(correction(record, -30), NEXT_DAY);

    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(70);
    assertThat(books.quota(tenant, NEXT_DAY).spent()).isZero();
    CostRecord correction = books.costs.find(tenant, id).orElseThrow();
    assertThat(correction.kind()).isEqualTo(CostKind.CORRECTION);
    assertThat(correction.amount()).isEqualTo(new NanoUsd(-30));
    assertThat(correction.correctedId()).contains(record.costRecordId());
    assertThat(correction.reason()).contains("a mistake");
    assertThat(correction.fromTime()).isEqualTo(record.fromTime());
    assertThat(correction.attribution()).isEqualTo(record.attribution());
    assertThat(records()).containsExactly(correction, record);
  }

  @Test
  void withItsCorrectionsUsageComesToNothingOrMore() {
    CostRecord record = spent(100);
    String first = correct(correction(record, -30), NOON);

    assertThat(
            refused(ErrorReason.CORRECTION_REFUSED, () -> correct(correction(record, -71), NOON)))
        .containsEntry("leftNanoUsd", "70");
    correct(correction(record, -70), NOON);
    refused(ErrorReason.CORRECTION_REFUSED, () -> correct(correction(record, -1), NOON));
    correct(correction(record, 5), NOON);
    correct(correction(record, -5), NOON);
    refused(
        ErrorReason.CORRECTION_REFUSED,
        () -> correct(correction(tenant, first, 30, UUID.randomUUID()), NOON));
  }

  @Test
  void whatIsNotThereCannotBeCorrected() {
    CostRecord record = spent(100);

    for (String id : List.of("1234567890123", "-1", "nothing")) {
      refused(
          ErrorReason.COST_RECORD_NOT_FOUND,
          () -> correct(correction(tenant, id, -1, UUID.randomUUID()), NOON));
    }
    refused(
        ErrorReason.COST_RECORD_NOT_FOUND,
        () ->
            correct(
                correction(books.tenant(), record.costRecordId(), -1, UUID.randomUUID()), NOON));
  }

  @Test
  void creditMakesRoomBeyondTheLimitOfNow() {
    books.limit(tenant, LimitPeriod.DAY, 100, NOON);
    String id = credit(credit(tenant, Books.attribution(null, null, null, null), 20), NOON);

    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(-20);
    assertThat(books.quota(tenant, NOON).remaining()).isEqualTo(120);
    refused(ErrorReason.QUOTA_EXCEEDED, () -> spend.reserve(reservation(121)));
    spend.reserve(reservation(120));
    assertThat(books.quota(tenant, NEXT_DAY).remaining()).isEqualTo(100);

    CostRecord credit = books.costs.find(tenant, id).orElseThrow();
    assertThat(credit.kind()).isEqualTo(CostKind.CREDIT);
    assertThat(credit.spend()).isEqualTo(Spend.LLM);
    assertThat(credit.amount()).isEqualTo(new NanoUsd(-20));
    // One that was a mistake is taken back.
    refused(
        ErrorReason.CORRECTION_REFUSED,
        () -> correct(correction(tenant, id, 21, UUID.randomUUID()), NOON));
    correct(correction(tenant, id, 20, UUID.randomUUID()), NOON);
    assertThat(books.quota(tenant, NOON).spent()).isZero();
  }

  @Test
  void creditCountsWhereItIsFor() {
    Limit ada = limit("ada", LimitResource.ALL_SPEND);
    Limit sandboxes = limit("ada", LimitResource.SANDBOX_SPEND);
    Limit bob = limit("bob", LimitResource.ALL_SPEND);

    credit(credit(tenant, Books.attribution(null, "ada", null, null), 20), NOON);

    assertThat(books.quotas(tenant, NOON))
        .filteredOn(quota -> quota.spent() != 0)
        .singleElement()
        .satisfies(quota -> assertThat(quota.limit()).isEqualTo(ada));
    assertThat(books.limits(tenant)).contains(sandboxes, bob);
  }

  @Test
  void sameRequestBooksOnceAndOtherContentIsRefused() {
    CostRecord record = spent(100);
    Correction correction = correction(record, -30);
    Credit credit = credit(tenant, Books.attribution(null, null, null, null), 20);

    assertThat(correct(correction, NOON)).isEqualTo(correct(correction, NEXT_DAY));
    assertThat(credit(credit, NOON)).isEqualTo(credit(credit, NEXT_DAY));
    assertThat(records()).hasSize(3);
    RequestKey other = new RequestKey(correction.requestKey().requestId(), hash(2));
    refused(
        ErrorReason.REQUEST_ID_REUSED,
        () ->
            correct(
                new Correction(tenant, other, record.costRecordId(), new NanoUsd(-1), "other"),
                NOON));
  }

  @Test
  void tenantThatIsNotThereGetsNoCredit() {
    refused(
        ErrorReason.TENANT_NOT_FOUND,
        () ->
            credit(
                credit(new TenantId("nobody"), Books.attribution(null, null, null, null), 20),
                NOON));
  }

  @Test
  void correctionLeavesTheSandboxesOwnBooksAlone() {
    books.limit(tenant, LimitPeriod.DAY, 1_000_000_000, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.extend(sandbox, NOON.plusSeconds(30));
    CostRecord record = books.records(tenant, sandbox).getFirst();

    correct(correction(record, -record.amount().value()), NOON.plusSeconds(40));
    Settlement settlement = books.settle(sandbox, NOON.plusSeconds(60));

    assertThat(settlement.cost()).isEqualTo(new NanoUsd(60 * 30_250));
    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(30 * 30_250);
    assertThat(books.records(tenant, sandbox))
        .extracting(CostRecord::kind)
        .containsExactly(CostKind.USAGE, CostKind.CORRECTION, CostKind.USAGE);
  }

  // Checked by mutation: without the tenant's lock in ledger_correct all of them are booked.
  @Test
  void ofManyCorrectionsOfAllThereIsOneIsBooked() throws Exception {
    for (int round = 0; round < 10; round++) {
      CostRecord record = spent(100);
      Race race =
          Race.run(
              database,
              tenant,
              CALLERS,
              _ -> {
                try {
                  return correct(correction(record, -100), NOON);
                } catch (SandkeeperException e) {
                  return e.reason();
                }
              });

      assertThat(race.answers()).filteredOn(String.class::isInstance).hasSize(1);
      assertThat(race.answers())
          .filteredOn(answer -> answer == ErrorReason.CORRECTION_REFUSED)
          .hasSize(CALLERS - 1);
    }
  }

  private CostRecord spent(long nanoUsd) {
    spend.record(reservation(nanoUsd));
    return records().getFirst();
  }

  private List<CostRecord> records() {
    return books.costs.list(CostQuery.of(tenant), FIRST_PAGE).items();
  }

  private LlmReservation reservation(long nanoUsd) {
    Attribution attribution = Books.attribution("org", "user", "talk", "bot");
    return new LlmReservation(
        tenant,
        new RequestKey(UUID.randomUUID(), hash(1)),
        attribution,
        new LlmCost.Amount(new NanoUsd(nanoUsd), "model"),
        Duration.ofMinutes(10));
  }

  private Limit limit(String user, LimitResource resource) {
    return books.limit(
        new LimitSpec(
            tenant,
            LimitScope.USER,
            user,
            resource,
            LimitPeriod.DAY,
            LimitSpec.UTC,
            LimitEnforcement.HARD,
            1000,
            List.of()),
        NOON);
  }

  private Correction correction(CostRecord record, long nanoUsd) {
    return correction(tenant, record.costRecordId(), nanoUsd, UUID.randomUUID());
  }

  private static Correction correction(TenantId of, String id, long nanoUsd, UUID requestId) {
    return new Correction(
        of, new RequestKey(requestId, hash(1)), id, new NanoUsd(nanoUsd), "a mistake");
  }

  private static Credit credit(TenantId to, Attribution attribution, long nanoUsd) {
    return new Credit(
        to,
        new RequestKey(UUID.randomUUID(), hash(1)),
        attribution,
        Spend.LLM,
        new NanoUsd(nanoUsd),
        "an outage");
  }

  private String correct(Correction correction, Instant at) {
    return books.transactions.call(tx -> adjustments.correct(tx, correction, at)).costRecordId();
  }

  private String credit(Credit credit, Instant at) {
    return books.transactions.call(tx -> adjustments.credit(tx, credit, at)).costRecordId();
  }

  private static byte[] hash(int value) {
    byte[] hash = new byte[32];
    Arrays.fill(hash, (byte) value);
    return hash;
  }

  private static Map<String, String> refused(ErrorReason reason, ThrowingCallable call) {
    SandkeeperException refusal = catchThrowableOfType(SandkeeperException.class, call);
    assertThat(refusal).isNotNull();
    assertThat(refusal.reason()).isEqualTo(reason);
    return refusal.context();
  }
}
