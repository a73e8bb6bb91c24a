package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Timestamp;
import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.CostKind;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CostReportRow;
import dev.sandkeeper.v1.CreateCorrectionRequest;
import dev.sandkeeper.v1.CreateCreditRequest;
import dev.sandkeeper.v1.GetCostReportRequest;
import dev.sandkeeper.v1.GroupBy;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.LlmCost;
import dev.sandkeeper.v1.RecordLlmUsageRequest;
import dev.sandkeeper.v1.Spend;
import dev.sandkeeper.v1.TimeBucket;
import io.grpc.Status;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.UUID;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Corrections, credits and reports, through the port. */
class CostServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private final Caller admin = server.admin();
  private final Instant hour = Instant.now().truncatedTo(ChronoUnit.HOURS);

  @Test
  void aRecordIsCorrectedAndListedWithItsCorrection() {
    CostRecord record = spend("corrected", 1000);
    CreateCorrectionRequest request =
        CreateCorrectionRequest.newBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .setCostRecordId(record.getCostRecordId())
            .setAmountNanoUsd(-400)
            .setReason("twice the same call")
            .build();

    CostRecord correction = admin.costs().createCorrection(request).getCostRecord();
    assertThat(admin.costs().createCorrection(request).getCostRecord()).isEqualTo(correction);

    assertThat(correction.getKind()).isEqualTo(CostKind.COST_KIND_CORRECTION);
    assertThat(correction.getAmountNanoUsd()).isEqualTo(-400);
    assertThat(correction.getCorrectedCostRecordId()).isEqualTo(record.getCostRecordId());
    assertThat(correction.getReason()).isEqualTo("twice the same call");
    assertThat(correction.getStartTime()).isEqualTo(record.getStartTime());
    assertThat(records("corrected")).containsExactly(correction, record);
    assertThat(lastAudit().getOperation()).isEqualTo("cost_adjustment");
    assertThat(lastAudit().getDetail())
        .contains(record.getCostRecordId(), "-0.000000400 USD", "twice the same call");
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.CORRECTION_REFUSED,
        () ->
            admin
                .costs()
                .createCorrection(
                    request.toBuilder().clearRequestId().setAmountNanoUsd(-601).build()));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.COST_RECORD_NOT_FOUND,
        () ->
            admin
                .costs()
                .createCorrection(
                    request.toBuilder().clearRequestId().setCostRecordId("nothing").build()));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () -> server.runner().costs().createCorrection(request));
    Refusal.ofField(
        "amount_nano_usd",
        () -> admin.costs().createCorrection(request.toBuilder().clearAmountNanoUsd().build()));
    Refusal.ofField(
        "reason", () -> admin.costs().createCorrection(request.toBuilder().clearReason().build()));
  }

  @Test
  void aCreditIsARecordOfItsOwn() {
    CreateCreditRequest request =
        CreateCreditRequest.newBuilder()
            .setAttribution(Attribution.newBuilder().setConversationId("credited"))
            .setSpend(Spend.SPEND_SANDBOX)
            .setAmountNanoUsd(77)
            .setReason("an outage")
            .build();

    CostRecord credit = admin.costs().createCredit(request).getCostRecord();

    assertThat(credit.getKind()).isEqualTo(CostKind.COST_KIND_CREDIT);
    assertThat(credit.getSpend()).isEqualTo(Spend.SPEND_SANDBOX);
    assertThat(credit.getAmountNanoUsd()).isEqualTo(-77);
    assertThat(records("credited")).containsExactly(credit);
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.TENANT_NOT_FOUND,
        () -> admin.costs().createCredit(request.toBuilder().setTenantId("nobody").build()));
    Refusal.ofField(
        "spend", () -> admin.costs().createCredit(request.toBuilder().clearSpend().build()));
    Refusal.ofField(
        "amount_nano_usd",
        () -> admin.costs().createCredit(request.toBuilder().setAmountNanoUsd(-1).build()));
  }

  @Test
  void aReportSumsWhatIsListed() {
    spend("reported", 1000);
    spend("reported", 500);
    GetCostReportRequest request =
        report()
            .addGroupBy(GroupBy.GROUP_BY_CONVERSATION)
            .addGroupBy(GroupBy.GROUP_BY_SPEND)
            .build();

    List<CostReportRow> rows =
        server.reader().costs().getCostReport(request).getRowsList().stream()
            .filter(row -> row.getConversationId().equals("reported"))
            .toList();

    assertThat(rows).hasSize(1);
    assertThat(rows.getFirst().getAmountNanoUsd()).isEqualTo(1500);
    assertThat(rows.getFirst().getRecordCount()).isEqualTo(2);
    assertThat(rows.getFirst().getSpend()).isEqualTo(Spend.SPEND_LLM);
    assertThat(rows.getFirst().getTenantId()).isEmpty();
    // What a key bound to an agent gets is that agent's.
    assertThat(
            server.agent().costs().getCostReport(request).getRowsList().stream()
                .map(CostReportRow::getConversationId))
        .doesNotContain("reported");
    // All tenants are for admins.
    GetCostReportRequest ofAll = report().addGroupBy(GroupBy.GROUP_BY_TENANT).build();
    assertThat(admin.costs().getCostReport(ofAll).getRowsList())
        .extracting(CostReportRow::getTenantId)
        .contains(RunningServer.TENANT);
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () -> server.reader().costs().getCostReport(ofAll));
    assertThat(
            server
                .reader()
                .costs()
                .getCostReport(ofAll.toBuilder().setTenantId(RunningServer.TENANT).build())
                .getRowsList())
        .isNotEmpty();
  }

  @Test
  void aReportOfTooManyRowsIsRefused() {
    server
        .database()
        .context()
        .execute(
            "insert into cost_record (kind, spend, tenant_id, user_id, hold_id, from_time, to_time, quality, share_micros, amount_nano_usd)"
                + " select 'USAGE', 'LLM', 'other', 'user-' || i, -i, '2020-01-01 00:00:00Z', '2020-01-01 00:00:00Z', 'MEASURED', 0, 1"
                + " from generate_series(1, 10001) i");
    GetCostReportRequest request =
        GetCostReportRequest.newBuilder()
            .setTenantId("other")
            .setStartTime(timestamp(Instant.parse("2020-01-01T00:00:00Z")))
            .setEndTime(timestamp(Instant.parse("2020-01-02T00:00:00Z")))
            .build();
    assertThat(admin.costs().getCostReport(request).getRows(0).getRecordCount()).isEqualTo(10_001);

    Refusal refusal =
        Refusal.of(
            Status.Code.OUT_OF_RANGE,
            ErrorReason.REPORT_TOO_LARGE,
            () ->
                admin
                    .costs()
                    .getCostReport(request.toBuilder().addGroupBy(GroupBy.GROUP_BY_USER).build()));
    assertThat(refusal.info().getMetadataMap()).containsEntry("maxRows", "10000");
  }

  @Test
  void wrongReportsNameTheirField() {
    Refusal.ofField("start_time", () -> getReport(report().clearStartTime()));
    Refusal.ofField(
        "start_time", () -> getReport(report().setStartTime(timestamp(hour.plusSeconds(1)))));
    Refusal.ofField("end_time", () -> getReport(report().setEndTime(timestamp(hour))));
    Refusal.ofField("zone", () -> getReport(report().setZone("Europe/Berlin")));
    Refusal.ofField(
        "zone",
        () -> getReport(report().setBucket(TimeBucket.TIME_BUCKET_DAY).setZone("Asia/Kolkata")));
    Refusal.ofField(
        "group_by[0]", () -> getReport(report().addGroupBy(GroupBy.GROUP_BY_UNSPECIFIED)));
  }

  @Test
  void itAnswersByHttpToo() {
    CostRecord record = spend("http", 10);
    try (HttpCaller http = new HttpCaller(server)) {
      HttpCaller.Answer correction =
          http.post(
              "/v1/corrections",
              "{\"costRecordId\": \"%s\", \"amountNanoUsd\": \"-3\", \"reason\": \"r\"}"
                  .formatted(record.getCostRecordId()));
      assertThat(correction.status()).as("%s", correction.text()).isEqualTo(201);
      HttpCaller.Answer credit =
          http.post(
              "/v1/credits",
              "{\"spend\": \"SPEND_LLM\", \"amountNanoUsd\": \"3\", \"reason\": \"r\"}");
      assertThat(credit.at("/costRecord/amountNanoUsd").asText()).isEqualTo("-3");
      HttpCaller.Answer report =
          http.get(
              "/v1/cost-report?start_time="
                  + hour
                  + "&end_time="
                  + hour.plus(2, ChronoUnit.HOURS)
                  + "&group_by=GROUP_BY_CONVERSATION&group_by=GROUP_BY_SPEND&bucket=TIME_BUCKET_DAY&zone=Europe/Berlin");
      assertThat(report.status()).as("%s", report.text()).isEqualTo(200);
      assertThat(report.at("/rows/0/amountNanoUsd").isMissingNode()).isFalse();
    }
  }

  private void getReport(GetCostReportRequest.Builder request) {
    admin.costs().getCostReport(request.build());
  }

  private GetCostReportRequest.Builder report() {
    return GetCostReportRequest.newBuilder()
        .setStartTime(timestamp(hour))
        // The hour may end meanwhile.
        .setEndTime(timestamp(hour.plus(2, ChronoUnit.HOURS)));
  }

  private static Timestamp timestamp(Instant time) {
    return Timestamps.fromMillis(time.toEpochMilli());
  }

  private CostRecord spend(String conversation, long nanoUsd) {
    server
        .runner()
        .costs()
        .recordLlmUsage(
            RecordLlmUsageRequest.newBuilder()
                .setAttribution(Attribution.newBuilder().setConversationId(conversation))
                .setCost(LlmCost.newBuilder().setModel("m").setAmountNanoUsd(nanoUsd))
                .build());
    return records(conversation).getFirst();
  }

  private List<CostRecord> records(String conversation) {
    return server
        .reader()
        .costs()
        .listCostRecords(
            ListCostRecordsRequest.newBuilder().setConversationId(conversation).build())
        .getCostRecordsList();
  }

  private AuditEvent lastAudit() {
    return admin
        .audit()
        .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(1).build())
        .getAuditEvents(0);
  }
}
