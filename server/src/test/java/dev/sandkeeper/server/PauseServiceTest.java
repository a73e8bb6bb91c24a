package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import com.google.rpc.QuotaFailure;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.DeleteLimitRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.ExhaustionPolicy;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.LimitResource;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.Resources;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.StatRequest;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Pausing and resuming through a real channel, on a server whose leases are short. */
class PauseServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of("SANDKEEPER_LEDGER_LEASE", "2 s", "SANDKEEPER_LEDGER_STOP_TIME", "2 s"));

  private static final String COUNT = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done";

  private final Caller caller = server.runner();
  private final List<String> limits = new ArrayList<>();

  @AfterEach
  void deleteLimits() {
    limits.forEach(limit ->
        server
            .admin()
            .quotas()
            .deleteLimit(DeleteLimitRequest.newBuilder().setLimitId(limit).build()));
  }

  @Test
  void whatRunsStandsStillAndGoesOn() {
    String id = caller.create().getSandboxId();
    Recorder<ExecuteResponse> count = new Recorder<>();
    start(Caller.shellRequest(id, COUNT), count);
    await().until(() -> count.responses().size() > 2);

    assertThat(caller.pause(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_PAUSED);
    SandboxUsage before = caller.usage(id);
    // A lease later it has been metered again.
    await()
        .until(() ->
            Durations.toMillis(
                    Timestamps.between(
                        before.getMeteredUntilTime(), caller.usage(id).getMeteredUntilTime()))
                > 1500);
    int stoodAt = output(count).length();

    assertThat(caller.usage(id).getCpuMicros()).isPositive().isEqualTo(before.getCpuMicros());
    assertThat(caller.get(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_PAUSED);
    assertThat(caller.resume(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    await().until(() -> output(count).length() > stoodAt);
    caller.terminate(id);
    assertThat(caller.usage(id).getCpuMicros()).isGreaterThan(before.getCpuMicros());
    List<String> lines = output(count).lines().toList();
    for (int i = 0; i < lines.size() - 1; i++) { // the last may be half a line
      assertThat(lines.get(i)).isEqualTo(Integer.toString(i));
    }
  }

  @Test
  void usageAndCostRecordsShowBothStates() {
    String id = caller.create().getSandboxId();
    caller.shell(id, "true");
    caller.pause(id);
    caller.resume(id);
    caller.terminate(id);

    List<CostRecord> records = caller.costRecords(id);
    assertThat(records.stream().map(CostRecord::getPaused).distinct()).contains(true, false);
    assertThat(records)
        .filteredOn(CostRecord::getPaused)
        .allMatch(r -> r.getExecutionId().isEmpty());
    long pausedMillis =
        records.stream()
            .filter(CostRecord::getPaused)
            .mapToLong(
                r -> Durations.toMillis(Timestamps.between(r.getStartTime(), r.getEndTime())))
            .sum();
    SandboxUsage usage = caller.usage(id);
    assertThat(Durations.toMillis(usage.getPausedTime())).isEqualTo(pausedMillis);
    assertThat(usage.getCostNanoUsd())
        .isEqualTo(records.stream().mapToLong(CostRecord::getAmountNanoUsd).sum());
  }

  @Test
  void pausingAndResumingTwiceIsDoingItOnceAndAllIsInTheAudit() {
    String id = caller.create().getSandboxId();
    assertThat(caller.resume(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    caller.pause(id);
    assertThat(caller.pause(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_PAUSED);
    caller.resume(id);
    assertThat(caller.resume(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);

    List<AuditEvent> events =
        server
            .admin()
            .audit()
            .listAuditEvents(ListAuditEventsRequest.newBuilder().setSandboxId(id).build())
            .getAuditEventsList();
    assertThat(events.reversed())
        .extracting(AuditEvent::getOperation)
        .containsExactly("create", "pause", "resume");
  }

  @Test
  void aPausedSandboxTakesNoWork() {
    String id = caller.create().getSandboxId();
    caller.pause(id);

    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.SANDBOX_PAUSED,
        () -> caller.shell(id, "true"));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.SANDBOX_PAUSED,
        () -> caller.files().stat(StatRequest.newBuilder().setSandboxId(id).setPath("x").build()));

    caller.resume(id);
    assertThat(Caller.stdout(caller.shell(id, "echo on"))).isEqualTo("on\n");
  }

  @Test
  void whatHasEndedIsNeitherPausedNorResumed() {
    String id = caller.create().getSandboxId();
    caller.pause(id);
    assertThat(caller.terminate(id).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TERMINATED);

    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.SANDBOX_NOT_RUNNING, () -> caller.pause(id));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.SANDBOX_NOT_RUNNING, () -> caller.resume(id));
    Refusal.of(
        Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> server.stranger().pause(id));
  }

  @Test
  void theTimeoutEndsAPausedSandbox() {
    String id = caller.create(r -> r.setTimeout(Durations.fromSeconds(3))).getSandboxId();
    caller.pause(id);

    await().until(() -> caller.get(id).getState() == SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(caller.get(id).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TIMEOUT);
  }

  @Test
  void aLimitOnCoresRefusesToResumeAndItStaysPaused() {
    String id = caller.create(PauseServiceTest::small).getSandboxId();
    caller.pause(id);
    limit(LimitResource.LIMIT_RESOURCE_CONCURRENT_CPU_CORES, 1);
    String other = caller.create(PauseServiceTest::small).getSandboxId();

    Refusal refusal =
        Refusal.of(
            Status.Code.RESOURCE_EXHAUSTED, ErrorReason.QUOTA_EXCEEDED, () -> caller.resume(id));

    assertThat(refusal.detail(QuotaFailure.class)).isPresent();
    assertThat(refusal.info().getMetadataMap())
        .containsEntry("resource", "CONCURRENT_CPU_CORES")
        .containsEntry("limitId", limits.getFirst());
    assertThat(caller.get(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_PAUSED);
    caller.terminate(other);
    assertThat(caller.resume(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
  }

  @Test
  void exhaustionPausesAndARaisedLimitLetsItGoOn() {
    // A lease and the time to stop, 4 seconds, are 65,000; a second of running later they are
    // refused, and what is left pays for half a minute of being paused.
    String limit = moneyLimit(spent() + 78_000);
    Sandbox sandbox =
        caller.create(r -> small(r).setOnExhaustion(ExhaustionPolicy.EXHAUSTION_POLICY_PAUSE));
    String id = sandbox.getSandboxId();
    assertThat(sandbox.getOnExhaustion()).isEqualTo(ExhaustionPolicy.EXHAUSTION_POLICY_PAUSE);
    Recorder<ExecuteResponse> count = new Recorder<>();
    start(Caller.shellRequest(id, COUNT), count);

    await().until(() -> caller.get(id).getState() == SandboxState.SANDBOX_STATE_PAUSED);
    await()
        .until(() ->
            count.responses().stream()
                .map(ExecuteResponse::getEvent)
                .anyMatch(ExecutionEvent::hasBudgetWarning));
    Refusal.of(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.QUOTA_EXCEEDED, () -> caller.resume(id));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.SANDBOX_PAUSED,
        () -> caller.shell(id, "true"));

    assertThat(moneyLimit(1_000_000_000_000L)).isEqualTo(limit);
    int stoodAt = output(count).length();
    caller.resume(id);
    await().until(() -> output(count).length() > stoodAt);
    assertThat(count.isOver()).isFalse();
  }

  @Test
  void whatCannotEvenPayForBeingPausedEndsBeforeItsPaidTime() {
    String id =
        caller
            .create(r -> small(r).setOnExhaustion(ExhaustionPolicy.EXHAUSTION_POLICY_PAUSE))
            .getSandboxId();
    moneyLimit(0);

    await().until(() -> caller.get(id).getState() == SandboxState.SANDBOX_STATE_TERMINATED);

    assertThat(caller.get(id).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_BUDGET_EXHAUSTED);
    assertThat(caller.costRecords(id)).anyMatch(CostRecord::getPaused);
    assertThat(
            server
                .database()
                .ownerContext()
                .fetchSingle(
                    "SELECT end_time <= paid_until FROM sandbox WHERE sandbox_id = {0}",
                    DSL.val(id))
                .into(Boolean.class))
        .isTrue();
  }

  // Whatever comes first, it ends once, the books are sound, and nothing runs on.
  @RepeatedTest(5)
  void racingCallsLeaveOneEnd() throws Exception {
    String id = caller.create().getSandboxId();
    CyclicBarrier start = new CyclicBarrier(5);
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<?>> calls = new ArrayList<>();
      for (Callable<?> call :
          List.<Callable<?>>of(
              () -> caller.pause(id),
              () -> caller.resume(id),
              () -> caller.pause(id),
              () -> caller.resume(id),
              () -> caller.terminate(id))) {
        calls.add(
            threads.submit(() -> {
              start.await();
              return call.call();
            }));
      }
      assertThat(calls.getLast().get()).isInstanceOf(Sandbox.class);
    }
    assertThat(caller.get(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
  }

  @Test
  void aProgramWhoseDeadlinePassesMeanwhileIsEndedWhenResumed() throws Exception {
    String id = caller.create().getSandboxId();
    Recorder<ExecuteResponse> count = new Recorder<>();
    start(
        Caller.shellRequest(id, COUNT).toBuilder().setDeadline(Durations.fromSeconds(1)).build(),
        count);
    await().until(() -> output(count).length() > 0);
    caller.pause(id);
    await().until(() -> Durations.toMillis(caller.usage(id).getPausedTime()) > 1000);
    caller.resume(id);

    count.awaitSuccess();
    assertThat(count.responses().getLast().getEvent().getFinished().getReason())
        .isEqualTo(FinishReason.FINISH_REASON_DEADLINE);
  }

  private void start(ExecuteRequest request, Recorder<ExecuteResponse> run) {
    SandboxServiceGrpc.newStub(caller.channel()).execute(request, run);
  }

  private static String output(Recorder<ExecuteResponse> run) {
    return Caller.stdout(run.responses().stream().map(ExecuteResponse::getEvent).toList());
  }

  private static CreateSandboxRequest.Builder small(CreateSandboxRequest.Builder request) {
    return request.setResources(Resources.newBuilder().setCpuCores(1).setMemoryMib(512));
  }

  /** Returns what the tenant has spent in all. */
  private static long spent() {
    return server
        .database()
        .ownerContext()
        .fetchSingle("SELECT coalesce(sum(amount_nano_usd), 0)::bigint FROM cost_record")
        .into(Long.class);
  }

  private String moneyLimit(long nanoUsd) {
    return limit(
        SetLimitRequest.newBuilder()
            .setPeriod(LimitPeriod.LIMIT_PERIOD_LIFETIME)
            .setAmountNanoUsd(nanoUsd));
  }

  private void limit(LimitResource resource, long amount) {
    limit(
        SetLimitRequest.newBuilder()
            .setResource(resource)
            .setPeriod(LimitPeriod.LIMIT_PERIOD_LIFETIME)
            .setAmount(amount));
  }

  private String limit(SetLimitRequest.Builder request) {
    String limit = server.admin().quotas().setLimit(request.build()).getLimit().getLimitId();
    if (!limits.contains(limit)) {
      limits.add(limit);
    }
    return limit;
  }
}
