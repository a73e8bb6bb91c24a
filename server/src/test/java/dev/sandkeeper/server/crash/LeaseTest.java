package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.GetSandboxUsageRequest;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.SetLimitRequest;
import java.io.IOException;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** How sandboxes are kept paid, and how they end, on a server whose leases are short. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Tag("alone")
class LeaseTest {
  private static final Duration LONG = Duration.ofMinutes(10);
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private ServerProcess server;

  @BeforeAll
  void start() throws Exception {
    server = new ServerProcess().set("LEDGER_LEASE", "2 s").set("LEDGER_STOP_TIME", "2 s").start();
  }

  @AfterAll
  void clean() throws Exception {
    server.close();
  }

  @Test
  void leaseIsRenewedAtItsHalfForAsLongAsTheSandboxRuns() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();

    await()
        .atMost(PATIENCE)
        .until(() ->
            !server.query(of(sandbox, "metered_until > start_time + interval '3 s'")).contains("f")
                && segments(sandbox) >= 3);

    // Never unpaid, and never paid further ahead than one lease.
    assertThat(server.query(of(sandbox, "paid_until > metered_until"))).containsExactly("t");
    assertThat(server.query(of(sandbox, "paid_until <= metered_until + interval '2.1 s'")))
        .containsExactly("t");
    server.client().terminate(sandbox);
    assertSettledAsRecorded(sandbox);
  }

  @Test
  void exhaustedBudgetIsWarnedOfAndEndsTheSandboxBeforeItsPaidTime() throws Exception {
    String probe = server.client().create(LONG).getSandboxId();
    long lease =
        Long.parseLong(
            server
                .query(
                    "select amount_nano_usd from hold where state = 'OPEN' and sandbox_id = '"
                        + probe
                        + "'")
                .getFirst());
    server.client().terminate(probe);
    long spent =
        Long.parseLong(
            server
                .query("select coalesce(sum(amount_nano_usd), 0)::bigint from cost_record")
                .getFirst());
    // A lease and its time to stop are 4 s, so this is for 6 s, of which 2 s are to stop.
    String limit =
        server
            .client()
            .quotas()
            .setLimit(
                SetLimitRequest.newBuilder()
                    .setPeriod(LimitPeriod.LIMIT_PERIOD_LIFETIME)
                    .setAmountNanoUsd(spent + lease * 3 / 2)
                    .build())
            .getLimit()
            .getLimitId();
    try {
      String sandbox = server.client().create(LONG).getSandboxId();
      Run run = server.client().start(Client.bash(sandbox, "sleep 300"));
      AtomicInteger looks = new AtomicInteger();
      await()
          .atMost(PATIENCE)
          .pollInterval(Duration.ofMillis(20))
          .until(() -> {
            looks.incrementAndGet();
            assertThat(overLimit()).isEmpty();
            return !server.query(of(sandbox, "end_time is not null")).contains("f");
          });

      assertThat(looks).hasValueGreaterThan(10);
      assertThat(run.finished().getReason()).isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED);
      ExecutionEvent warning =
          run.events().stream().filter(ExecutionEvent::hasBudgetWarning).findFirst().orElseThrow();
      assertThat(warning.getBudgetWarning().getLimitId()).isEqualTo(limit);
      Sandbox ended = server.client().get(sandbox);
      assertThat(ended.getEndReason())
          .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_BUDGET_EXHAUSTED);
      assertThat(Client.instant(ended.getEndTime()))
          .isBeforeOrEqualTo(Client.instant(warning.getBudgetWarning().getPaidUntilTime()));
      assertSettledAsRecorded(sandbox);
      assertThat(overLimit()).isEmpty();
      assertThat(server.query("select limit_id from quota_overrun")).isEmpty();
    } finally {
      server
          .client()
          .quotas()
          .deleteLimit(dev.sandkeeper.v1.DeleteLimitRequest.newBuilder().setLimitId(limit).build());
    }
  }

  @Test
  void timeoutEndsTheSandboxAndItsExecution() throws Exception {
    String sandbox = server.client().create(Duration.ofSeconds(3)).getSandboxId();
    Run run = server.client().start(Client.bash(sandbox, "sleep 300"));

    assertThat(run.finished().getReason()).isEqualTo(FinishReason.FINISH_REASON_SANDBOX_ENDED);
    awaitEnd(sandbox);
    assertThat(server.client().get(sandbox).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_TIMEOUT);
    assertThat(
            server.query(
                of(sandbox, "end_time between expire_time and expire_time + interval '2 s'")))
        .containsExactly("t");
    assertSettledAsRecorded(sandbox);
  }

  @Test
  void sandboxWhoseAgentIsKilledIsSettled() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    Run run = server.client().start(Client.bash(sandbox, "sleep 300"));
    assertThat(run.executionId()).isNotEmpty();

    ServerProcess.processes(sandbox)
        .forEach(pid -> ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly));

    awaitEnd(sandbox);
    assertThat(run.finished().getReason())
        .isIn(FinishReason.FINISH_REASON_SANDBOX_ENDED, FinishReason.FINISH_REASON_SIGNALED);
    assertThat(server.client().get(sandbox).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_ENGINE_FAILED);
    assertSettledAsRecorded(sandbox);
  }

  @Test
  void containerInNoBookIsEndedBySweep() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    server.kill();
    server.update(
        "update sandbox set node_id = 'elsewhere', create_time = create_time - interval '2 min'"
            + " where sandbox_id = '"
            + sandbox
            + "'");
    server.start();

    await().atMost(PATIENCE).until(() -> ServerProcess.processes(sandbox).isEmpty());
    server.update(
        "update sandbox set node_id = (select node_id from sandbox where node_id <> 'elsewhere'"
            + " union all select 'none' limit 1) where sandbox_id = '"
            + sandbox
            + "'");
    awaitEnd(sandbox);
    assertThat(server.client().get(sandbox).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_ORPHANED);
    assertSettledAsRecorded(sandbox);
  }

  private void awaitEnd(String sandbox) {
    await()
        .atMost(PATIENCE)
        .until(() ->
            server.client().get(sandbox).getState() == SandboxState.SANDBOX_STATE_TERMINATED
                || server.client().get(sandbox).getState() == SandboxState.SANDBOX_STATE_FAILED);
  }

  private List<String> overLimit() throws IOException, SQLException {
    return server.query(
        "select spent || ' ' || reserved || ' ' || amount from quota_period"
            + " where spent + reserved > amount");
  }

  private int segments(String sandbox) throws IOException, SQLException {
    return Integer.parseInt(
        server
            .query("select count(*) from usage_segment where sandbox_id = '" + sandbox + "'")
            .getFirst());
  }

  private static String of(String sandbox, String expression) {
    return "select " + expression + " from sandbox where sandbox_id = '" + sandbox + "'";
  }

  /** What the usage says it cost is what the records add up to. */
  private void assertSettledAsRecorded(String sandbox) throws IOException, SQLException {
    long told =
        server
            .client()
            .sandboxes()
            .getSandboxUsage(GetSandboxUsageRequest.newBuilder().setSandboxId(sandbox).build())
            .getUsage()
            .getCostNanoUsd();
    assertThat(told).isPositive();
    assertThat(
            server.query(
                "select sum(amount_nano_usd)::bigint from cost_record where sandbox_id = '"
                    + sandbox
                    + "'"))
        .containsExactly(Long.toString(told));
    Books.assertSound(server);
  }
}
