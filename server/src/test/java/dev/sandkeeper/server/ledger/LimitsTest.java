package dev.sandkeeper.server.ledger;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

final class LimitsTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Instant NOON = Instant.parse("2026-03-10T12:00:00Z");
  private static final long NANO_USD_PER_SECOND = 30_250;
  private static final long FIRST_LEASE = 65 * NANO_USD_PER_SECOND;
  private static final Attribution SOMEBODY = Books.attribution("org", "user", "talk", "bot");

  private final Books books = new Books(database);

  @AfterEach
  void invariantsHold() {
    assertThat(books.ledger.checkInvariants()).isEmpty();
  }

  @ParameterizedTest
  @EnumSource(LimitScope.class)
  void limitsWhatIsAttributedToItsScopeAndNothingElse(LimitScope scope) {
    TenantId tenant = books.tenant();
    String scopeId =
        switch (scope) {
          case TENANT -> "";
          case ORGANISATION -> "org";
          case USER -> "user";
          case CONVERSATION -> "talk";
          case AGENT -> "bot";
        };
    Limit limit = books.limit(money(tenant, scope, scopeId, FIRST_LEASE), NOON);

    assertThat(books.admit(books.wish(tenant).withAttribution(SOMEBODY), NOON))
        .isInstanceOf(Admission.Granted.class);
    assertThat(books.admit(books.wish(tenant).withAttribution(SOMEBODY), NOON))
        .isInstanceOfSatisfying(
            Admission.Denied.class,
            denied -> {
              assertThat(denied.refusal().limitId()).isEqualTo(limit.limitId());
              assertThat(denied.refusal().scope()).isEqualTo(scope);
              assertThat(denied.refusal().scopeId()).isEqualTo(scopeId);
            });

    Admission other = books.admit(books.wish(tenant).withAttribution(Attribution.NONE), NOON);
    if (scope == LimitScope.TENANT) {
      assertThat(other).isInstanceOf(Admission.Denied.class);
    } else {
      assertThat(other).isInstanceOf(Admission.Granted.class);
    }
    assertThat(books.admit(books.wish(books.tenant()).withAttribution(SOMEBODY), NOON))
        .isInstanceOf(Admission.Granted.class);
  }

  @Test
  void oneFullLimitOfManyRefusesAndChangesNoCounter() {
    TenantId tenant = books.tenant();
    books.limit(money(tenant, LimitScope.TENANT, "", 1_000_000_000), NOON);
    books.limit(money(tenant, LimitScope.USER, "user", 1_000_000_000), NOON);
    books.limit(count(tenant, LimitResource.SANDBOX_CREATES, LimitPeriod.MINUTE, 100), NOON);
    books.limit(money(tenant, LimitScope.CONVERSATION, "talk", FIRST_LEASE - 1), NOON);
    List<QuotaStatus> before = books.quotas(tenant, NOON);

    assertThat(books.admit(books.wish(tenant).withAttribution(SOMEBODY), NOON))
        .isInstanceOf(Admission.Denied.class);

    assertThat(books.quotas(tenant, NOON)).isEqualTo(before);
    assertThat(before).allMatch(quota -> quota.spent() == 0 && quota.reserved() == 0);
  }

  static Stream<Arguments> gauges() {
    return Stream.of(
        Arguments.of(LimitResource.CONCURRENT_SANDBOXES, 1L),
        Arguments.of(LimitResource.CONCURRENT_CPU_CORES, 2L),
        Arguments.of(LimitResource.CONCURRENT_MEMORY_MIB, 512L));
  }

  @ParameterizedTest
  @MethodSource("gauges")
  void whatIsInUseAtOnceIsGivenBackAtTheEnd(LimitResource resource, long ofOne) {
    TenantId tenant = books.tenant();
    books.limit(count(tenant, resource, LimitPeriod.LIFETIME, 2 * ofOne), NOON);
    SandboxId first = books.run(books.wish(tenant), NOON);
    books.run(books.wish(tenant), NOON);

    assertThat(books.admit(books.wish(tenant), NOON))
        .isInstanceOfSatisfying(
            Admission.Denied.class,
            denied -> {
              assertThat(denied.refusal().resource()).isEqualTo(resource);
              assertThat(denied.refusal().remaining()).isZero();
              assertThat(denied.refusal().needed()).isEqualTo(ofOne);
              assertThat(denied.refusal().resetTime()).isEmpty();
              assertThat(denied.refusal().asException().context())
                  .containsEntry("remaining", "0")
                  .containsEntry("needed", Long.toString(ofOne))
                  .doesNotContainKey("remainingNanoUsd");
            });

    assertThat(books.extend(first, NOON.plusSeconds(30))).isInstanceOf(Extension.Renewed.class);
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(2 * ofOne);
    books.settle(first, NOON.plusSeconds(40));
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(ofOne);
    assertThat(books.admit(books.wish(tenant), NOON.plusSeconds(40)))
        .isInstanceOf(Admission.Granted.class);
  }

  @Test
  void createRateCountsAdmissionsUntilTheMinuteIsOver() {
    TenantId tenant = books.tenant();
    books.limit(count(tenant, LimitResource.SANDBOX_CREATES, LimitPeriod.MINUTE, 2), NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON.plusSeconds(10));
    books.settle(sandbox, NOON.plusSeconds(11));
    books.run(books.wish(tenant), NOON.plusSeconds(20));

    assertThat(books.admit(books.wish(tenant), NOON.plusSeconds(59)))
        .isInstanceOfSatisfying(
            Admission.Denied.class,
            denied -> assertThat(denied.refusal().resetTime()).contains(NOON.plusSeconds(60)));
    assertThat(books.admit(books.wish(tenant), NOON.plusSeconds(60)))
        .isInstanceOf(Admission.Granted.class);
  }

  @Test
  void newLimitsTakeOverWhatIsInUseAndCountWhatWasCreated() {
    TenantId tenant = books.tenant();
    books.run(books.wish(tenant), NOON);
    SandboxId second = books.run(books.wish(tenant), NOON);
    books.settle(second, NOON.plusSeconds(1));

    books.limit(count(tenant, LimitResource.CONCURRENT_SANDBOXES, LimitPeriod.LIFETIME, 1), NOON);
    assertThat(books.quota(tenant, NOON).reserved()).isEqualTo(1);
    books.limit(
        count(tenant, LimitResource.SANDBOX_CREATES, LimitPeriod.DAY, 2), NOON.plusMillis(1));
    assertThat(books.quota(tenant, NOON).spent()).isEqualTo(2);
  }

  @Test
  void softLimitLetsThroughWithoutAnOverrunAndMadeHardItRecordsOne() {
    TenantId tenant = books.tenant();
    LimitSpec hard = money(tenant, LimitScope.TENANT, "", 1000);
    books.limit(soft(hard), NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);

    QuotaStatus quota = books.quota(tenant, NOON);
    assertThat(quota.reserved()).isEqualTo(FIRST_LEASE);
    assertThat(quota.remaining()).isZero();
    assertThat(books.extend(sandbox, NOON.plusSeconds(30))).isInstanceOf(Extension.Renewed.class);
    assertThat(overruns()).isZero();

    books.limit(hard, NOON.plusSeconds(31));
    assertThat(overruns()).isEqualTo(1);
    assertThat(books.admit(books.wish(tenant), NOON.plusSeconds(31)))
        .isInstanceOf(Admission.Denied.class);
  }

  @Test
  void eachThresholdFiresOnceInAPeriodAndAgainInTheNext() {
    TenantId tenant = books.tenant();
    LimitSpec spec =
        withThresholds(
            money(tenant, LimitScope.TENANT, "", 100 * NANO_USD_PER_SECOND), List.of(50, 90, 100));
    books.limit(spec, NOON);
    SandboxId sandbox = books.run(books.wish(tenant), NOON);
    books.extend(sandbox, NOON.plusSeconds(49));
    assertThat(fired(tenant)).isEmpty();

    books.extend(sandbox, NOON.plusSeconds(51));
    books.extend(sandbox, NOON.plusSeconds(60));
    assertThat(fired(tenant)).containsExactly(50);

    books.settle(sandbox, NOON.plusSeconds(95));
    assertThat(fired(tenant)).containsExactly(50, 90);
    // Raised, and reached once more: it has fired. Lowered: the last fires at once.
    books.limit(withThresholds(amount(spec, 1_000 * NANO_USD_PER_SECOND), spec.thresholds()), NOON);
    books.limit(withThresholds(amount(spec, 95 * NANO_USD_PER_SECOND), spec.thresholds()), NOON);
    assertThat(fired(tenant)).containsExactly(50, 90, 100);

    Instant tomorrow = NOON.plusSeconds(86_400);
    SandboxId next = books.run(books.wish(tenant), tomorrow);
    books.settle(next, tomorrow.plusSeconds(60));
    assertThat(fired(tenant)).containsExactly(50, 50, 90, 100);
  }

  @Test
  void thresholdAppendsItsAlertWithWhatReachedIt() {
    TenantId tenant = books.tenant();
    database
        .context()
        .execute(
            "insert into webhook (webhook_id, tenant_id, url, secret, create_time, resume_time)"
                + " values ('aaaaaaaaaaaaaaaaaaaa', ?, 'https://example.com/', ?, now(), now())",
            tenant.value(),
            new byte[32]);
    Limit limit =
        books.limit(
            withThresholds(
                money(tenant, LimitScope.USER, "user", 100 * NANO_USD_PER_SECOND), List.of(50)),
            NOON);
    SandboxId sandbox =
        books.run(
            books.wish(tenant).withAttribution(SOMEBODY).withTimeout(Duration.ofMinutes(1)), NOON);
    books.extend(sandbox, NOON.plusSeconds(49));
    assertThat(alerts(tenant)).isEmpty();

    books.settle(sandbox, NOON.plusSeconds(55));

    assertThat(alerts(tenant))
        .singleElement()
        .asString()
        .contains(
            "\"type\":\"limit_threshold\"",
            "\"limitId\": \"" + limit.limitId() + "\"",
            "\"scope\": \"USER\"",
            "\"threshold\": 50",
            "\"spent\": \"" + 55 * NANO_USD_PER_SECOND + "\"",
            "\"resetTime\": \"2026-03-11T00:00:00Z\"");
  }

  @Test
  void deniedRequestFiresNothing() {
    TenantId tenant = books.tenant();
    books.limit(
        withThresholds(
            count(tenant, LimitResource.SANDBOX_CREATES, LimitPeriod.DAY, 2), List.of(100)),
        NOON);
    books.limit(money(tenant, LimitScope.TENANT, "", FIRST_LEASE), NOON);
    books.run(books.wish(tenant), NOON);

    assertThat(books.admit(books.wish(tenant), NOON)).isInstanceOf(Admission.Denied.class);

    assertThat(fired(tenant)).isEmpty();
  }

  static Stream<Arguments> wrong() {
    TenantId tenant = new TenantId("nobody-asks");
    LimitSpec right = money(tenant, LimitScope.TENANT, "", 1);
    return Stream.of(
        Arguments.of("amount_nano_usd", amount(right, -1)),
        Arguments.of("amount_nano_usd", amount(right, Limits.MAX_AMOUNT + 1)),
        Arguments.of("scope_id", money(tenant, LimitScope.USER, "", 1)),
        Arguments.of("scope_id", money(tenant, LimitScope.TENANT, "somebody", 1)),
        Arguments.of("zone", zone(right, "Mars/Olympus")),
        Arguments.of("zone", zone(right, "UTC+3:07")),
        Arguments.of("zone", zone(right, "'; drop table hold; --")),
        Arguments.of("thresholds", withThresholds(right, List.of(0))),
        Arguments.of("thresholds", withThresholds(right, List.of(101))),
        Arguments.of("thresholds", withThresholds(right, List.of(50, 80, 50))),
        Arguments.of(
            "thresholds", withThresholds(right, List.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))),
        Arguments.of(
            "thresholds",
            withThresholds(
                count(tenant, LimitResource.CONCURRENT_SANDBOXES, LimitPeriod.LIFETIME, 1),
                List.of(50))),
        Arguments.of(
            "period", count(tenant, LimitResource.CONCURRENT_SANDBOXES, LimitPeriod.DAY, 1)),
        Arguments.of("period", count(tenant, LimitResource.LLM_SPEND, LimitPeriod.MINUTE, 1)));
  }

  @ParameterizedTest
  @MethodSource("wrong")
  void wrongLimitsAreRefusedByField(String field, LimitSpec spec) {
    assertThatThrownBy(() -> books.limit(spec, NOON))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> {
              assertThat(e.reason()).isEqualTo(ErrorReason.INVALID_FIELD);
              assertThat(e.violations()).extracting("field").containsExactly(field);
              assertThat(e.violations().getFirst().description()).contains("(expected: ");
            });
  }

  @Test
  void secondLimitOfAScopeReplacesTheAmountAndNeverTheZone() {
    TenantId tenant = books.tenant();
    LimitSpec spec = money(tenant, LimitScope.USER, "user", 1000);
    Limit first = books.limit(spec, NOON);

    Limit second = books.limit(amount(spec, 2000), NOON.plusSeconds(1));
    assertThat(second.limitId()).isEqualTo(first.limitId());
    assertThat(second.createTime()).isEqualTo(first.createTime());
    assertThatThrownBy(() -> books.limit(zone(spec, "Europe/Berlin"), NOON))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            e -> {
              assertThat(e.reason()).isEqualTo(ErrorReason.ALREADY_EXISTS);
              assertThat(e.context())
                  .containsEntry("limitId", first.limitId())
                  .containsEntry("zone", "UTC");
            });
    assertThat(books.limits(tenant)).containsExactly(second);
  }

  @Test
  void limitsComeInPagesAndByScope() {
    TenantId tenant = books.tenant();
    for (int i = 0; i < 5; i++) {
      books.limit(money(tenant, LimitScope.USER, "user-" + i, 1000), NOON.plusSeconds(i / 2));
    }
    books.limit(money(tenant, LimitScope.TENANT, "", 1000), NOON);
    LimitQuery users = new LimitQuery(tenant, Optional.of(LimitScope.USER), Optional.empty());

    Page<QuotaStatus> first =
        books.limits.quota(users, new Page.Request(3, Optional.empty()), NOON);
    Page<QuotaStatus> second = books.limits.quota(users, new Page.Request(3, first.next()), NOON);

    assertThat(Stream.concat(first.items().stream(), second.items().stream()))
        .extracting(quota -> quota.limit().spec().scopeId())
        .containsExactly("user-4", "user-3", "user-2", "user-1", "user-0");
    assertThat(second.next()).isEmpty();
    assertThat(
            books
                .limits
                .list(
                    new LimitQuery(tenant, Optional.of(LimitScope.USER), Optional.of("user-3")),
                    new Page.Request(3, Optional.empty()))
                .items())
        .hasSize(1);
  }

  @Test
  void dayOfAZoneBeginsAtItsMidnight() {
    TenantId tenant = books.tenant();
    // A quarter past the half hour in UTC, at which segments must be split.
    LimitSpec kathmandu =
        zone(money(tenant, LimitScope.TENANT, "", 1_000_000_000), "Asia/Kathmandu");
    Instant midnight = Instant.parse("2026-03-10T18:15:00Z");
    books.limit(kathmandu, midnight.minusSeconds(20));
    SandboxId sandbox = books.run(books.wish(tenant), midnight.minusSeconds(20));
    books.settle(sandbox, midnight.plusSeconds(10));

    assertThat(books.quota(tenant, midnight.minusSeconds(1)).spent())
        .isEqualTo(20 * NANO_USD_PER_SECOND);
    QuotaStatus quota = books.quota(tenant, midnight);
    assertThat(quota.spent()).isEqualTo(10 * NANO_USD_PER_SECOND);
    assertThat(quota.periodStart()).contains(midnight);
    assertThat(quota.resetTime()).contains(midnight.plusSeconds(86_400));
  }

  private static LimitSpec money(TenantId tenant, LimitScope scope, String scopeId, long amount) {
    return new LimitSpec(
        tenant,
        scope,
        scopeId,
        LimitResource.ALL_SPEND,
        LimitPeriod.DAY,
        LimitSpec.UTC,
        LimitEnforcement.HARD,
        amount,
        List.of());
  }

  private static LimitSpec count(
      TenantId tenant, LimitResource resource, LimitPeriod period, long amount) {
    return new LimitSpec(
        tenant,
        LimitScope.TENANT,
        "",
        resource,
        period,
        LimitSpec.UTC,
        LimitEnforcement.HARD,
        amount,
        List.of());
  }

  private static LimitSpec amount(LimitSpec spec, long amount) {
    return copy(spec, spec.zone(), spec.enforcement(), amount, spec.thresholds());
  }

  private static LimitSpec zone(LimitSpec spec, String zone) {
    return copy(spec, zone, spec.enforcement(), spec.amount(), spec.thresholds());
  }

  private static LimitSpec soft(LimitSpec spec) {
    return copy(spec, spec.zone(), LimitEnforcement.SOFT, spec.amount(), spec.thresholds());
  }

  private static LimitSpec withThresholds(LimitSpec spec, List<Integer> thresholds) {
    return copy(spec, spec.zone(), spec.enforcement(), spec.amount(), thresholds);
  }

  private static LimitSpec copy(
      LimitSpec spec,
      String zone,
      LimitEnforcement enforcement,
      long amount,
      List<Integer> thresholds) {
    return new LimitSpec(
        spec.tenantId(),
        spec.scope(),
        spec.scopeId(),
        spec.resource(),
        spec.period(),
        zone,
        enforcement,
        amount,
        thresholds);
  }

  private static List<Integer> fired(TenantId tenant) {
    return database
        .context()
        .resultQuery(
            "select threshold from threshold_event join quota_limit using (limit_id) where"
                + " tenant_id = ? order by threshold, period_start",
            tenant.value())
        .fetch(0, Integer.class);
  }

  private static List<String> alerts(TenantId tenant) {
    return database
        .context()
        .resultQuery("select payload from outbox where tenant_id = ?", tenant.value())
        .fetch(0, String.class);
  }

  private static int overruns() {
    return database
        .context()
        .resultQuery("select count(*) from quota_overrun")
        .fetchSingle()
        .get(0, Integer.class);
  }
}
