package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.CheckInvariantsRequest;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CreatePriceRequest;
import dev.sandkeeper.v1.DeleteLimitRequest;
import dev.sandkeeper.v1.EstimateCostRequest;
import dev.sandkeeper.v1.EstimateCostResponse;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.GetPriceAtRequest;
import dev.sandkeeper.v1.InvariantViolation;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListAuditEventsResponse;
import dev.sandkeeper.v1.ListPricesRequest;
import dev.sandkeeper.v1.Price;
import dev.sandkeeper.v1.PriceBasis;
import dev.sandkeeper.v1.Resources;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.VerifyAuditChainRequest;
import dev.sandkeeper.v1.VerifyAuditChainResponse;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.jooq.DSLContext;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What a job cost and who did what, as callers read it; leases are short, so that many fit in. */
class BooksServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_LEDGER_LEASE", "1 s",
              "SANDKEEPER_LEDGER_STOP_TIME", "1 s",
              "SANDKEEPER_SANDBOX_SWEEP_INTERVAL", "200 ms"));

  private static final Attribution ATTRIBUTION =
      Attribution.newBuilder()
          .setOrganisationId("org")
          .setUserId("user")
          .setConversationId("conversation")
          .setPath("path")
          .setAgentId("agent")
          .setTaskId("task")
          .build();

  private final Caller caller = server.runner();

  @Test
  void recordsAreAttributedSharedAndSumToTheUsage() {
    String sandbox = caller.create(request -> request.setAttribution(ATTRIBUTION)).getSandboxId();
    List<ExecutionEvent> one = caller.python(sandbox, "import time\ntime.sleep(1.2)");
    List<ExecutionEvent> two = caller.shell(sandbox, "true");
    Sandbox ended = caller.terminate(sandbox);

    List<CostRecord> records = server.reader().costRecords(sandbox);
    SandboxUsage usage = server.reader().usage(sandbox);

    assertThat(records).hasSizeGreaterThan(3); // several leases
    assertThat(records)
        .allSatisfy(record -> {
          assertThat(record.getAttribution()).isEqualTo(ATTRIBUTION);
          assertThat(record.getTenantId()).isEqualTo(RunningServer.TENANT);
          assertThat(record.getSandboxId()).isEqualTo(sandbox);
          assertThat(record.getTier()).isEqualTo("standard");
          assertThat(record.getBasis()).isEqualTo(PriceBasis.PRICE_BASIS_ALLOCATED);
          assertThat(record.getPriceId()).isNotEmpty();
          assertThat(record.getEstimated()).isFalse();
          assertThat(Timestamps.compare(record.getStartTime(), record.getEndTime())).isNegative();
        });
    assertThat(records.stream().mapToLong(CostRecord::getAmountNanoUsd).sum())
        .isEqualTo(usage.getCostNanoUsd())
        .isPositive();
    long sharedNanos =
        records.stream().mapToLong(record -> Durations.toNanos(record.getShare())).sum();
    long livedNanos =
        Durations.toNanos(Timestamps.between(ended.getStartTime(), ended.getEndTime()));
    assertThat(sharedNanos).isCloseTo(livedNanos, org.assertj.core.data.Offset.offset(2_000_000L));
    for (List<ExecutionEvent> run : List.of(one, two)) {
      long booked =
          records.stream()
              .filter(record -> record.getExecutionId().equals(Caller.executionId(run)))
              .mapToLong(CostRecord::getAmountNanoUsd)
              .sum();
      // At 33,250 nano-USD a second, a hundredth of a second is 332.
      assertThat(Caller.finished(run).getCostNanoUsd())
          .isCloseTo(booked, org.assertj.core.data.Offset.offset(700L));
    }
    assertThat(usage.getExecutionCount()).isEqualTo(2);
    assertThat(usage.getCpuMicros()).isPositive();
    assertThat(usage.getMemoryMibMillis()).isPositive();
    assertThat(usage.getPeakMemoryBytes()).isPositive();
    assertThat(Durations.toNanos(usage.getLifetime()))
        .isCloseTo(livedNanos, org.assertj.core.data.Offset.offset(2_000_000L));
  }

  @Test
  void thePriceTimesTheTimeIsTheCost() {
    Sandbox made = caller.create();
    Price price =
        caller
            .prices()
            .getPriceAt(GetPriceAtRequest.newBuilder().setTier("standard").build())
            .getPrice();
    Sandbox ended = caller.terminate(made.getSandboxId());

    double perSecond =
        Double.parseDouble(price.getUsdPerSecond())
            + 2 * Double.parseDouble(price.getUsdPerCoreSecond())
            + Double.parseDouble(price.getUsdPerGibSecond());
    double seconds =
        Durations.toNanos(Timestamps.between(ended.getStartTime(), ended.getEndTime())) / 1e9;
    assertThat((double) caller.usage(made.getSandboxId()).getCostNanoUsd())
        .isCloseTo(perSecond * seconds * 1e9, org.assertj.core.data.Offset.offset(100.0));
  }

  @Test
  void whatIsNotMeasuredIsAbsent() {
    String sandbox = caller.create().getSandboxId();
    var _ =
        server
            .database()
            .ownerContext()
            .execute(
                "update sandbox set cpu_micros = null, memory_mib_millis = null,"
                    + " peak_memory_bytes = null where sandbox_id = ?",
                sandbox);

    SandboxUsage usage = caller.usage(sandbox);

    assertThat(usage.hasCpuMicros()).isFalse();
    assertThat(usage.hasMemoryMibMillis()).isFalse();
    assertThat(usage.hasPeakMemoryBytes()).isFalse();
  }

  @Test
  void aSpentBudgetWarnsAndEndsTheSandboxWithinIt() {
    long amount = 110_000; // about three seconds of the smallest lease and its end
    String limit =
        server
            .admin()
            .quotas()
            .setLimit(
                SetLimitRequest.newBuilder()
                    .setTenantId(RunningServer.OTHER_TENANT)
                    .setPeriod(LimitPeriod.LIMIT_PERIOD_LIFETIME)
                    .setAmountNanoUsd(amount)
                    .build())
            .getLimit()
            .getLimitId();
    try {
      Caller stranger = server.stranger();
      String sandbox = stranger.create().getSandboxId();

      List<ExecutionEvent> events = stranger.shell(sandbox, "sleep 600");
      await()
          .until(() -> stranger.get(sandbox).getState() == SandboxState.SANDBOX_STATE_TERMINATED);

      ExecutionEvent warning =
          events.stream().filter(ExecutionEvent::hasBudgetWarning).findFirst().orElseThrow();
      assertThat(warning.getBudgetWarning().getLimitId()).isEqualTo(limit);
      assertThat(Caller.finished(events).getReason())
          .isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED);
      assertThat(stranger.get(sandbox).getEndReason())
          .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_BUDGET_EXHAUSTED);
      assertThat(stranger.usage(sandbox).getCostNanoUsd()).isPositive().isLessThanOrEqualTo(amount);
      Refusal.of(
          Status.Code.RESOURCE_EXHAUSTED, ErrorReason.QUOTA_EXCEEDED, () -> stranger.create());
    } finally {
      var _ =
          server
              .admin()
              .quotas()
              .deleteLimit(DeleteLimitRequest.newBuilder().setLimitId(limit).build());
    }
  }

  @Test
  void aSandboxEndsWhenItsTimeIsOver() {
    Sandbox made = caller.create(request -> request.setTimeout(Durations.fromSeconds(2)));
    Iterator<ExecuteResponse> stream =
        caller.sandboxes().execute(Caller.shellRequest(made.getSandboxId(), "sleep 600"));

    List<ExecutionEvent> events = Caller.events(stream);
    await()
        .atMost(Duration.ofSeconds(20))
        .until(() ->
            caller.get(made.getSandboxId()).getState() == SandboxState.SANDBOX_STATE_TERMINATED);

    Sandbox ended = caller.get(made.getSandboxId());
    assertThat(ended.getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TIMEOUT);
    assertThat(Caller.finished(events).getReason())
        .isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED);
    assertThat(Durations.toMillis(Timestamps.between(ended.getStartTime(), ended.getEndTime())))
        .isBetween(1_000L, 6_000L);
  }

  @Test
  void pricesAreListedAndOnlyAddedAhead() {
    assertThat(caller.prices().listPrices(ListPricesRequest.getDefaultInstance()).getPricesList())
        .extracting(Price::getTier)
        .contains("standard");
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.PRICE_NOT_FOUND,
        () -> caller.prices().getPriceAt(GetPriceAtRequest.newBuilder().setTier("gpu").build()));
    Price past =
        Price.newBuilder()
            .setTier("standard")
            .setBasis(PriceBasis.PRICE_BASIS_ALLOCATED)
            .setUsdPerSecond("0")
            .setUsdPerCoreSecond("0.000014")
            .setUsdPerGibSecond("0.0000045")
            .setStartTime(Timestamps.fromSeconds(1_000_000_000))
            .build();
    Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.PRICE_START_REFUSED, () -> price(past));
    for (String wrong : List.of("-1", "1e3", "", "1.0000000000000000001", "0x1", "NaN")) {
      Refusal.ofField(
          "price.usd_per_second", () -> price(past.toBuilder().setUsdPerSecond(wrong).build()));
    }
    Refusal.ofField("price.tier", () -> price(past.toBuilder().setTier("gold").build()));
  }

  @Test
  void theAuditTellsWhoDidWhatAndItsChainIsWhole() throws Exception {
    String source = "print('denetim')\n1 / 0";
    Sandbox sandbox = caller.create(request -> request.setAttribution(ATTRIBUTION));
    String id = sandbox.getSandboxId();
    List<ExecutionEvent> code = caller.python(id, source);
    List<ExecutionEvent> command = caller.shell(id, "printf hata >&2; exit 7");
    var _ = caller.files().stat(StatRequest.newBuilder().setSandboxId(id).setPath("/etc").build());
    var _ = caller.terminate(id);
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.NO_PRICE_FOR_TIER,
        () -> caller.create(request -> request.setTemplate("high-memory")));

    List<AuditEvent> events = audit(id);
    AuditEvent ranCode = of(events, Caller.executionId(code));
    AuditEvent ranCommand = of(events, Caller.executionId(command));

    assertThat(events)
        .extracting(AuditEvent::getOperation)
        .containsExactly("create", "run_code", "run_command", "file_read", "terminate");
    assertThat(events)
        .allSatisfy(event -> {
          assertThat(event.getTenantId()).isEqualTo(RunningServer.TENANT);
          assertThat(event.getKeyId()).isNotEmpty();
          assertThat(event.getUserId()).isEqualTo("user");
          assertThat(event.getConversationId()).isEqualTo("conversation");
          assertThat(event.getRemoteAddress()).isEqualTo("127.0.0.1");
          assertThat(event.getUserAgent()).contains("grpc-java");
          assertThat(event.getHash().size()).isEqualTo(32);
          assertThat(event.getPreviousHash().size()).isEqualTo(32);
        });
    assertThat(ranCode.getCodeSha256()).isEqualTo(sha256(source));
    assertThat(ranCode.getStdoutSha256()).isEqualTo(sha256(Caller.stdout(code)));
    assertThat(ranCode.getOutcome()).isEqualTo("ok");
    assertThat(ranCommand.getStderrSha256()).isEqualTo(sha256("hata"));
    assertThat(ranCommand.getStdoutSha256()).isEqualTo(sha256(""));
    assertThat(ranCommand.getExitCode()).isEqualTo(7);
    assertThat(ranCommand.getCostNanoUsd()).isEqualTo(Caller.finished(command).getCostNanoUsd());
    assertThat(audit(""))
        .anySatisfy(event -> {
          assertThat(event.getOperation()).isEqualTo("create");
          assertThat(event.getOutcome()).isEqualTo("NO_PRICE_FOR_TIER");
        });
    VerifyAuditChainResponse chain =
        server.admin().audit().verifyAuditChain(VerifyAuditChainRequest.getDefaultInstance());
    assertThat(chain.getIntact()).isTrue();
    assertThat(chain.getEventCount()).isEqualTo(audit("").size());
    assertThat(chain.getFirstBrokenSequence()).isZero();
  }

  @Test
  void aChangedAuditEventIsFound() {
    Caller stranger = server.stranger();
    String id = stranger.create().getSandboxId();
    var _ = stranger.terminate(id);
    AuditEvent created =
        stranger
            .audit()
            .listAuditEvents(ListAuditEventsRequest.newBuilder().setSandboxId(id).build())
            .getAuditEventsList()
            .getLast();
    change(created.getSequence(), "mallory");
    try {
      VerifyAuditChainResponse chain =
          stranger.audit().verifyAuditChain(VerifyAuditChainRequest.getDefaultInstance());

      assertThat(chain.getIntact()).isFalse();
      assertThat(chain.getFirstBrokenSequence()).isEqualTo(created.getSequence());
    } finally {
      change(created.getSequence(), null);
    }
  }

  private static void change(long sequence, @org.jspecify.annotations.Nullable String user) {
    var context = server.database().ownerContext();
    var _ = context.execute("alter table audit_event disable trigger user");
    var _ =
        context.execute(
            "update audit_event set user_id = ? where tenant_id = ? and sequence = ?",
            user,
            RunningServer.OTHER_TENANT,
            sequence);
    var _ = context.execute("alter table audit_event enable trigger user");
  }

  private static void price(Price price) {
    var _ =
        server
            .admin()
            .prices()
            .createPrice(CreatePriceRequest.newBuilder().setPrice(price).build());
  }

  @Test
  void anEstimateSaysWhatASandboxCosts() {
    EstimateCostResponse estimate =
        estimate(request -> request.setTimeout(Durations.fromSeconds(10)));
    EstimateCostResponse larger =
        estimate(request ->
            request
                .setResources(Resources.newBuilder().setCpuCores(4).setMemoryMib(2048))
                .setTimeout(Durations.fromSeconds(10)));

    assertThat(estimate.getTier()).isEqualTo("standard");
    // 2 cores at $0.000014 and 1 GiB at $0.0000045 a second; a lease and the time to stop are 1 s.
    assertThat(estimate.getCostNanoUsd()).isEqualTo(325_000);
    assertThat(estimate.getHoldNanoUsd()).isEqualTo(65_000);
    assertThat(larger.getCostNanoUsd()).isEqualTo(650_000);
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.TEMPLATE_NOT_FOUND,
        () -> estimate(request -> request.setTemplate("none")));
    Refusal.ofField(
        "resources.cpu_cores",
        () -> estimate(request -> request.setResources(Resources.newBuilder().setCpuCores(9))));
  }

  private EstimateCostResponse estimate(UnaryOperator<EstimateCostRequest.Builder> request) {
    return caller.prices().estimateCost(request.apply(EstimateCostRequest.newBuilder()).build());
  }

  @Test
  void aRowThatIsNotAsItMustBeIsNamed() {
    String sandbox = caller.create().getSandboxId();
    var _ = caller.terminate(sandbox);
    DSLContext owner = server.database().ownerContext();
    assertThat(violations()).isEmpty();

    owner.execute(
        "UPDATE sandbox SET cost_nano_usd = cost_nano_usd + 1 WHERE sandbox_id = {0}",
        DSL.val(sandbox));
    try {
      assertThat(violations())
          .singleElement()
          .satisfies(violation -> {
            assertThat(violation.getInvariant()).isEqualTo(4);
            assertThat(violation.getSubject()).isEqualTo("sandbox " + sandbox);
            assertThat(violation.getDetail()).contains("cost");
          });
    } finally {
      owner.execute(
          "UPDATE sandbox SET cost_nano_usd = cost_nano_usd - 1 WHERE sandbox_id = {0}",
          DSL.val(sandbox));
    }
  }

  private static List<InvariantViolation> violations() {
    return server
        .admin()
        .admin()
        .checkInvariants(CheckInvariantsRequest.getDefaultInstance())
        .getViolationsList();
  }

  /** Returns all events, of one sandbox or of all, oldest first. */
  private static List<AuditEvent> audit(String sandboxId) {
    List<AuditEvent> events = new ArrayList<>();
    String token = "";
    do {
      ListAuditEventsResponse page =
          server
              .admin()
              .audit()
              .listAuditEvents(
                  ListAuditEventsRequest.newBuilder()
                      .setSandboxId(sandboxId)
                      .setPageSize(7)
                      .setPageToken(token)
                      .build());
      events.addAll(page.getAuditEventsList());
      token = page.getNextPageToken();
    } while (!token.isEmpty());
    return events.reversed();
  }

  private static AuditEvent of(List<AuditEvent> events, String executionId) {
    return events.stream()
        .filter(event -> event.getExecutionId().equals(executionId))
        .findFirst()
        .orElseThrow();
  }

  private static ByteString sha256(String text) throws Exception {
    return ByteString.copyFrom(
        MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
  }
}
