package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.Duration;
import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import com.google.rpc.PreconditionFailure;
import com.google.rpc.QuotaFailure;
import com.google.rpc.ResourceInfo;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.DeleteLimitRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.ListSandboxesResponse;
import dev.sandkeeper.v1.ListTemplatesRequest;
import dev.sandkeeper.v1.QuotaStatus;
import dev.sandkeeper.v1.Resources;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.Template;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import io.grpc.Status;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.UUID;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Sandboxes through a real channel: their life, their lists, and every refusal. */
class SandboxServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private static final String NOWHERE = "0123456789abcdefghij";

  private final Caller caller = server.runner();

  @Test
  void aSandboxHasTheTemplatesDefaults() {
    Sandbox sandbox =
        caller.sandboxes().createSandbox(CreateSandboxRequest.getDefaultInstance()).getSandbox();

    assertThat(sandbox.getSandboxId()).matches("[a-z0-9]{20}");
    assertThat(sandbox.getTenantId()).isEqualTo(RunningServer.TENANT);
    assertThat(sandbox.getTemplate()).isEqualTo("base");
    assertThat(sandbox.getTier()).isEqualTo("standard");
    assertThat(sandbox.getEngine()).isEqualTo("local");
    assertThat(sandbox.getNodeId()).isNotEmpty();
    assertThat(sandbox.getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(sandbox.getResources())
        .isEqualTo(Resources.newBuilder().setCpuCores(2).setMemoryMib(1024).build());
    assertThat(sandbox.getTimeout()).isEqualTo(Durations.fromSeconds(60));
    assertThat(
            Durations.toMillis(
                Timestamps.between(sandbox.getCreateTime(), sandbox.getExpireTime())))
        .isBetween(60_000L, 65_000L);
    assertThat(sandbox.hasPaidUntilTime()).isTrue();
    assertThat(Timestamps.compare(sandbox.getPaidUntilTime(), sandbox.getExpireTime()))
        .isLessThanOrEqualTo(0);
    assertThat(sandbox.hasEndTime()).isFalse();
  }

  @Test
  void whatWasAskedForIsKept() {
    Attribution attribution =
        Attribution.newBuilder()
            .setOrganisationId("org")
            .setUserId("kullanıcı")
            .setConversationId("conversation")
            .setPath("a/b")
            .setAgentId("agent")
            .setTaskId("task")
            .setCorrelationId("correlation")
            .setWorkflowId("workflow")
            .build();
    Sandbox sandbox =
        caller.create(request ->
            request
                .setResources(Resources.newBuilder().setCpuCores(1).setMemoryMib(512))
                .setAttribution(attribution)
                .putMetadata("etiket", "İstanbul 🐍"));

    Sandbox found = caller.get(sandbox.getSandboxId());

    assertThat(found).isEqualTo(sandbox);
    assertThat(found.getAttribution()).isEqualTo(attribution);
    assertThat(found.getMetadataMap()).containsEntry("etiket", "İstanbul 🐍");
    assertThat(found.getResources().getMemoryMib()).isEqualTo(512);
    assertThat(found.getTimeout()).isEqualTo(Durations.fromSeconds(300));
  }

  @Test
  void theEnvironmentReachesWhatRuns() {
    Sandbox sandbox = caller.create(request -> request.putEnvironment("GREETING", "merhaba"));

    assertThat(Caller.stdout(caller.shell(sandbox.getSandboxId(), "printf %s $GREETING")))
        .isEqualTo("merhaba");
  }

  @Test
  void aSandboxThatLivesToItsTimeoutIsBilledInOnePiece() {
    // An hour may end meanwhile, which splits whatever is billed.
    String id =
        caller.create(request -> request.setTimeout(Durations.fromSeconds(3))).getSandboxId();

    await().until(() -> caller.get(id).getState() == SandboxState.SANDBOX_STATE_TERMINATED);

    assertThat(caller.get(id).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TIMEOUT);
    assertThat(caller.costRecords(id)).hasSizeBetween(1, 2);
  }

  @Test
  void terminatingTwiceIsTerminatingOnce() {
    String id = caller.create().getSandboxId();

    Sandbox first =
        caller
            .sandboxes()
            .terminateSandbox(
                TerminateSandboxRequest.newBuilder()
                    .setSandboxId(id)
                    .setGrace(Durations.fromMillis(100))
                    .build())
            .getSandbox();
    long cost = caller.usage(id).getCostNanoUsd();
    Sandbox second = caller.terminate(id);

    assertThat(first.getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(first.getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TERMINATED);
    assertThat(first.hasEndTime()).isTrue();
    assertThat(first.hasPaidUntilTime()).isFalse();
    assertThat(second).isEqualTo(first);
    assertThat(caller.get(id)).isEqualTo(first);
    assertThat(caller.usage(id).getCostNanoUsd()).isEqualTo(cost).isPositive();
  }

  @Test
  void listsComeInPagesAndOnlyWithTheirOwnTokens() {
    String conversation = UUID.randomUUID().toString();
    List<String> made = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      made.addFirst(
          caller
              .create(request ->
                  request.setAttribution(Attribution.newBuilder().setConversationId(conversation)))
              .getSandboxId());
    }
    ListSandboxesRequest query =
        ListSandboxesRequest.newBuilder().setConversationId(conversation).setPageSize(2).build();

    List<String> listed = new ArrayList<>();
    List<Integer> sizes = new ArrayList<>();
    String token = "";
    do {
      ListSandboxesResponse page =
          server.reader().sandboxes().listSandboxes(query.toBuilder().setPageToken(token).build());
      page.getSandboxesList().forEach(sandbox -> listed.add(sandbox.getSandboxId()));
      sizes.add(page.getSandboxesCount());
      token = page.getNextPageToken();
    } while (!token.isEmpty());

    assertThat(listed).isEqualTo(made);
    assertThat(sizes).containsExactly(2, 2, 1);

    String next = caller.sandboxes().listSandboxes(query).getNextPageToken();
    Refusal.ofField(
        "page_token",
        () ->
            caller
                .sandboxes()
                .listSandboxes(
                    query.toBuilder().setConversationId("x").setPageToken(next).build()));
    Refusal.ofField(
        "page_token",
        () ->
            caller
                .executions()
                .listExecutions(
                    ListExecutionsRequest.newBuilder()
                        .setSandboxId(made.getFirst())
                        .setPageToken(next)
                        .build()));
  }

  @ParameterizedTest
  @ValueSource(strings = {"nonsense", "!", "AAAA", "IA"})
  void aTokenOfNobodysIsRefused(String token) {
    Refusal.ofField(
        "page_token",
        () ->
            caller
                .sandboxes()
                .listSandboxes(ListSandboxesRequest.newBuilder().setPageToken(token).build()));
  }

  @Test
  void aForgedTokenIsRefusedAsAField() {
    String conversation = UUID.randomUUID().toString();
    for (int i = 0; i < 2; i++) {
      var _ =
          caller.create(request ->
              request.setAttribution(Attribution.newBuilder().setConversationId(conversation)));
    }
    ListSandboxesRequest query =
        ListSandboxesRequest.newBuilder().setConversationId(conversation).setPageSize(1).build();
    String token =
        new String(
            Base64.getUrlDecoder()
                .decode(caller.sandboxes().listSandboxes(query).getNextPageToken()),
            java.nio.charset.StandardCharsets.UTF_8);
    String forged =
        token.substring(0, token.indexOf(' ')) + " +1000000000-12-31T23:59:59.999999999Z \u0000";

    Refusal.ofField(
        "page_token",
        () ->
            caller
                .sandboxes()
                .listSandboxes(
                    query.toBuilder()
                        .setPageToken(
                            Base64.getUrlEncoder()
                                .encodeToString(
                                    forged.getBytes(java.nio.charset.StandardCharsets.UTF_8)))
                        .build()));
  }

  @Test
  void statesFilterTheList() {
    String running = caller.create().getSandboxId();
    String ended = caller.create().getSandboxId();
    var _ = caller.terminate(ended);

    assertThat(ids(SandboxState.SANDBOX_STATE_RUNNING)).contains(running).doesNotContain(ended);
    assertThat(ids(SandboxState.SANDBOX_STATE_TERMINATED)).contains(ended).doesNotContain(running);
  }

  @Test
  void templatesAreListedByName() {
    assertThat(
            caller
                .templates()
                .listTemplates(ListTemplatesRequest.getDefaultInstance())
                .getTemplatesList())
        .extracting(Template::getName)
        .contains("base", "high-memory")
        .isSorted();
  }

  @Test
  void anUnknownTemplateIsNotFound() {
    Refusal refusal =
        Refusal.of(
            Status.Code.NOT_FOUND,
            ErrorReason.TEMPLATE_NOT_FOUND,
            () -> caller.create(request -> request.setTemplate("no-such-template")));

    assertThat(refusal.info().getMetadataMap()).containsEntry("template", "no-such-template");
    assertThat(refusal.detail(ResourceInfo.class).orElseThrow().getResourceName())
        .isEqualTo("no-such-template");
  }

  @Test
  void aTierWithoutPriceStartsNothing() {
    int before = ids(SandboxState.SANDBOX_STATE_RUNNING).size();

    Refusal refusal =
        Refusal.of(
            Status.Code.FAILED_PRECONDITION,
            ErrorReason.NO_PRICE_FOR_TIER,
            () -> caller.create(request -> request.setTemplate("high-memory")));

    assertThat(refusal.info().getMetadataMap()).containsEntry("tier", "high-memory");
    assertThat(refusal.detail(PreconditionFailure.class)).isPresent();
    assertThat(ids(SandboxState.SANDBOX_STATE_RUNNING)).hasSize(before);
    assertThat(ids(SandboxState.SANDBOX_STATE_PENDING)).isEmpty();
  }

  @ParameterizedTest
  @EnumSource(
      value = LimitPeriod.class,
      names = {"LIMIT_PERIOD_UNSPECIFIED", "LIMIT_PERIOD_MINUTE", "UNRECOGNIZED"},
      mode = EnumSource.Mode.EXCLUDE)
  void anExhaustedLimitSaysWhichHowMuchAndUntilWhen(LimitPeriod period) {
    String limitId = setLimit(period, 1000).getLimitId();
    try {
      Refusal refusal =
          Refusal.of(
              Status.Code.RESOURCE_EXHAUSTED, ErrorReason.QUOTA_EXCEEDED, () -> caller.create());

      assertThat(refusal.detail(QuotaFailure.class).orElseThrow().getViolations(0).getSubject())
          .isEqualTo("limits/" + limitId);
      assertThat(refusal.info().getMetadataMap())
          .containsEntry("limitId", limitId)
          .containsEntry("period", period.name().replace("LIMIT_PERIOD_", ""))
          .containsKeys("remainingNanoUsd", "neededNanoUsd");
      assertThat(Long.parseLong(refusal.info().getMetadataOrThrow("remainingNanoUsd")))
          .isBetween(0L, 1000L);
      if (period == LimitPeriod.LIMIT_PERIOD_LIFETIME) {
        assertThat(refusal.info().getMetadataMap()).doesNotContainKey("resetTime");
      } else {
        assertThat(Instant.parse(refusal.info().getMetadataOrThrow("resetTime")))
            .isAfter(Instant.now());
      }
      assertThat(ids(SandboxState.SANDBOX_STATE_PENDING)).isEmpty();
    } finally {
      deleteLimit(limitId);
    }
  }

  @Test
  void whatASandboxHoldsComesBackWhenItEnds() {
    String limitId = setLimit(LimitPeriod.LIMIT_PERIOD_LIFETIME, 1_000_000_000).getLimitId();
    try {
      QuotaStatus before = quota();
      String sandbox = caller.create().getSandboxId();
      QuotaStatus during = quota();
      var _ = caller.shell(sandbox, "true");
      var _ = caller.terminate(sandbox);
      QuotaStatus after = quota();

      assertThat(before.getReservedNanoUsd()).isZero();
      assertThat(during.getReservedNanoUsd()).isPositive();
      assertThat(after.getReservedNanoUsd()).isZero();
      assertThat(after.getSpentNanoUsd() - before.getSpentNanoUsd())
          .isEqualTo(caller.usage(sandbox).getCostNanoUsd())
          .isPositive()
          .isLessThan(during.getReservedNanoUsd());
      for (QuotaStatus quota : List.of(before, during, after)) {
        assertThat(
                quota.getSpentNanoUsd() + quota.getReservedNanoUsd() + quota.getRemainingNanoUsd())
            .isEqualTo(1_000_000_000);
        assertThat(quota.hasResetTime()).isFalse();
      }
    } finally {
      deleteLimit(limitId);
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, Long.MIN_VALUE, 1_000_000_000_000_000_001L, Long.MAX_VALUE})
  void aNegativeOrHugeLimitIsRefused(long amount) {
    String why =
        Refusal.ofField("amount_nano_usd", () -> setLimit(LimitPeriod.LIMIT_PERIOD_DAY, amount));

    assertThat(why).contains(Long.toString(amount));
  }

  @ParameterizedTest
  @ValueSource(longs = {0, 1_000_000_000_000_000_000L})
  void theLargestAndTheSmallestLimitStand(long amount) {
    dev.sandkeeper.v1.Limit limit = setLimit(LimitPeriod.LIMIT_PERIOD_WEEK, amount);
    try {
      assertThat(limit.getAmountNanoUsd()).isEqualTo(amount);
      if (amount == 0) {
        Refusal.of(
            Status.Code.RESOURCE_EXHAUSTED, ErrorReason.QUOTA_EXCEEDED, () -> caller.create());
      } else {
        assertThat(caller.create().getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
      }
    } finally {
      deleteLimit(limit.getLimitId());
    }
  }

  @Test
  void aLimitOfAnUnknownTenantIsNotFound() {
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.TENANT_NOT_FOUND,
        () ->
            server
                .admin()
                .quotas()
                .setLimit(
                    SetLimitRequest.newBuilder()
                        .setTenantId("nobody")
                        .setPeriod(LimitPeriod.LIMIT_PERIOD_DAY)
                        .setAmountNanoUsd(1)
                        .build()));
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.LIMIT_NOT_FOUND, () -> deleteLimit("nothing"));
  }

  @Test
  void wrongFieldsAreNamed() {
    refusedCreate("timeout", request -> request.setTimeout(Durations.fromSeconds(86_401)));
    refusedCreate("timeout", request -> request.setTimeout(Durations.fromMillis(999)));
    refusedCreate("timeout", request -> request.setTimeout(Durations.fromSeconds(-1)));
    refusedCreate(
        "timeout", request -> request.setTimeout(Duration.newBuilder().setSeconds(Long.MAX_VALUE)));
    refusedCreate(
        "resources.cpu_cores",
        request -> request.setResources(Resources.newBuilder().setCpuCores(9)));
    refusedCreate(
        "resources.cpu_cores",
        request -> request.setResources(Resources.newBuilder().setCpuCores(-1)));
    refusedCreate(
        "resources.memory_mib",
        request -> request.setResources(Resources.newBuilder().setMemoryMib(511)));
    refusedCreate(
        "resources.memory_mib",
        request -> request.setResources(Resources.newBuilder().setMemoryMib(8193)));
    refusedCreate("request_id", request -> request.setRequestId("1"));
    refusedCreate("template", request -> request.setTemplate("x".repeat(64)));
    refusedCreate("metadata[\"key\"]", request -> request.putMetadata("key", "x".repeat(1025)));
    refusedCreate("environment[\"1A\"]", request -> request.putEnvironment("1A", "x"));
    refusedCreate("environment[\"A\"]", request -> request.putEnvironment("A", "x\u0000y"));
    refusedCreate(
        "attribution.user_id",
        request -> request.setAttribution(Attribution.newBuilder().setUserId("x".repeat(257))));
  }

  @Test
  void textThatTheDatabaseCannotKeepIsRefusedAsAField() {
    refusedCreate("metadata[\"key\"]", request -> request.putMetadata("key", "a\u0000b"));
    refusedCreate(
        "attribution.user_id",
        request -> request.setAttribution(Attribution.newBuilder().setUserId("a\u0000b")));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "short",
        "0123456789ABCDEFGHIJ",
        "0123456789abcdefghijk",
        "../../etc/passwd..."
      })
  void aBadIdIsAFieldAndAnUnknownOneIsNotFound(String id) {
    Refusal.ofField("sandbox_id", () -> caller.get(id));
    Refusal.ofField("sandbox_id", () -> caller.terminate(id));
    Refusal.ofField("sandbox_id", () -> caller.shell(id, "true"));
    Refusal.ofField("execution_id", () -> caller.attach(id, 0));
  }

  @Test
  void whatIsNotThereIsNotFound() {
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> caller.get(NOWHERE));
    Refusal.of(
        Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> caller.terminate(NOWHERE));
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> caller.usage(NOWHERE));
    Refusal.of(
        Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> caller.shell(NOWHERE, "true"));
    Refusal.of(
        Status.Code.NOT_FOUND, ErrorReason.EXECUTION_NOT_FOUND, () -> caller.attach(NOWHERE, 0));
  }

  @Test
  void nothingRunsInAnEndedSandbox() {
    String id = caller.create().getSandboxId();
    String execution = Caller.executionId(caller.shell(id, "echo kept"));
    var _ = caller.terminate(id);

    Refusal refusal =
        Refusal.of(
            Status.Code.FAILED_PRECONDITION,
            ErrorReason.SANDBOX_NOT_RUNNING,
            () -> caller.shell(id, "true"));

    assertThat(refusal.info().getMetadataMap()).containsEntry("sandboxId", id);
    assertThat(Caller.stdout(caller.attach(execution, 0))).isEqualTo("kept\n");
  }

  @Test
  void codeThatIsEmptyOrTooLongIsRefusedByItsName() {
    String id = caller.create().getSandboxId();

    Refusal.ofField("code.source", () -> caller.python(id, ""));
    String why =
        Refusal.ofField("code.source", () -> caller.python(id, "#" + "x".repeat(20_000_000)));
    assertThat(why).contains("20000001").hasSizeLessThan(500);
    Refusal.ofField(
        "code.language",
        () ->
            caller.execute(
                ExecuteRequest.newBuilder()
                    .setSandboxId(id)
                    .setCode(Code.newBuilder().setSource("1"))
                    .build()));
    assertThat(Caller.stdout(caller.python(id, "print('still here')"))).isEqualTo("still here\n");
  }

  @Test
  void codeUpToTheLimitRuns() {
    String id = caller.create().getSandboxId();

    assertThat(Caller.stdout(caller.python(id, "print('long')\n#" + "x".repeat((10 << 20) - 15))))
        .isEqualTo("long\n");
  }

  @Test
  void commandsAndTheirPlaceAreChecked() {
    String id = caller.create().getSandboxId();
    ExecuteRequest shell = Caller.shellRequest(id, "true");
    ExecuteRequest python = Caller.pythonRequest(id, "1");

    Refusal.ofField(
        "command",
        () -> caller.execute(shell.toBuilder().setCommand(Command.newBuilder().build()).build()));
    Refusal.ofField(
        "command",
        () ->
            caller.execute(
                shell.toBuilder()
                    .setCommand(Command.newBuilder().setShell("true").addArgv("true"))
                    .build()));
    Refusal.ofField("run", () -> caller.execute(shell.toBuilder().clearCommand().build()));
    Refusal.ofField(
        "deadline",
        () -> caller.execute(shell.toBuilder().setDeadline(Durations.fromNanos(1)).build()));
    Refusal.ofField(
        "working_directory",
        () -> caller.execute(shell.toBuilder().setWorkingDirectory("a\u0000").build()));
    Refusal.ofField(
        "working_directory",
        () -> caller.execute(python.toBuilder().setWorkingDirectory("/tmp").build()));
    Refusal.ofField(
        "environment", () -> caller.execute(python.toBuilder().putEnvironment("A", "1").build()));
    assertThat(
            Caller.stdout(
                caller.execute(
                    ExecuteRequest.newBuilder()
                        .setSandboxId(id)
                        .setCode(
                            Code.newBuilder()
                                .setLanguage(Language.LANGUAGE_BASH)
                                .setSource("echo $A; pwd"))
                        .putEnvironment("A", "1")
                        .setWorkingDirectory("/tmp")
                        .build())))
        .isEqualTo("1\n/tmp\n");
  }

  @Test
  void aRunForSomeoneElseIsRefused() {
    String id =
        caller
            .create(request ->
                request.setAttribution(
                    Attribution.newBuilder().setUserId("ayşe").setTaskId("task")))
            .getSandboxId();
    ExecuteRequest run = Caller.shellRequest(id, "true");

    String why =
        Refusal.ofField(
            "attribution.user_id",
            () ->
                caller.execute(
                    run.toBuilder()
                        .setAttribution(Attribution.newBuilder().setUserId("mallory"))
                        .build()));
    assertThat(why).contains("mallory").doesNotContain("ayşe");
    Refusal.ofField(
        "attribution.agent_id",
        () ->
            caller.execute(
                run.toBuilder()
                    .setAttribution(Attribution.newBuilder().setUserId("ayşe").setAgentId("agent"))
                    .build()));
    assertThat(
            Caller.finished(
                    caller.execute(
                        run.toBuilder()
                            .setAttribution(Attribution.newBuilder().setTaskId("task"))
                            .build()))
                .getExitCode())
        .isZero();
  }

  private void refusedCreate(String field, UnaryOperator<CreateSandboxRequest.Builder> change) {
    Refusal.ofField(field, () -> caller.create(change));
  }

  private List<String> ids(SandboxState state) {
    return caller
        .sandboxes()
        .listSandboxes(ListSandboxesRequest.newBuilder().addStates(state).setPageSize(1000).build())
        .getSandboxesList()
        .stream()
        .map(Sandbox::getSandboxId)
        .toList();
  }

  private static dev.sandkeeper.v1.Limit setLimit(LimitPeriod period, long amount) {
    return server
        .admin()
        .quotas()
        .setLimit(SetLimitRequest.newBuilder().setPeriod(period).setAmountNanoUsd(amount).build())
        .getLimit();
  }

  private static void deleteLimit(String limitId) {
    var _ =
        server
            .admin()
            .quotas()
            .deleteLimit(DeleteLimitRequest.newBuilder().setLimitId(limitId).build());
  }

  private QuotaStatus quota() {
    return server.reader().quotas().getQuota(GetQuotaRequest.getDefaultInstance()).getQuotas(0);
  }
}
