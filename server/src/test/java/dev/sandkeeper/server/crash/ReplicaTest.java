package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.Refusal;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.GetExecutionRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.Status;
import java.time.Duration;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * Two servers on one database, of which one is killed or stands still: the other ends what it ran
 * and settles it, once, and whoever comes back finds that it is not the owner any more.
 */
@Tag("alone")
class ReplicaTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Duration LONG = Duration.ofMinutes(10);
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private ServerProcess one;
  private ServerProcess other;

  @BeforeEach
  void prepare() throws Exception {
    one = replica();
    other = replica();
  }

  private static ServerProcess replica() throws Exception {
    return new ServerProcess(database.environment())
        .set("REPLICA_TIMEOUT", "4 s")
        .set("DATABASE_POOL_SIZE", "6");
  }

  @AfterEach
  void clean() throws Exception {
    try {
      Books.assertSound(other);
      assertThat(other.query("select hold_id from hold where state = 'OPEN'")).isEmpty();
      var _ = other.update("delete from replica");
    } finally {
      one.close();
      other.close();
    }
  }

  @Test
  void whatAKilledServerRanIsEndedAndSettledByAnother() throws Exception {
    one.start();
    other.start();
    String sandbox = one.client().create(LONG).getSandboxId();
    String paused = one.client().create(LONG).getSandboxId();
    one.client().pause(paused);
    String executionId = one.client().start(Client.bash(sandbox, "sleep 300")).executionId();

    one.kill();

    for (String id : List.of(sandbox, paused)) {
      Sandbox ended = awaitEnd(other, id);
      assertThat(ended.getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_ORPHANED);
      assertThat(ServerProcess.processes(id)).isEmpty();
    }
    assertThat(
            other
                .client()
                .executions()
                .getExecution(GetExecutionRequest.newBuilder().setExecutionId(executionId).build())
                .getExecution()
                .getFinished()
                .getReason())
        .isEqualTo(FinishReason.FINISH_REASON_LOST);
    assertThat(
            other.query(
                "select distinct quality from usage_segment where sandbox_id in ('%s', '%s')"
                    .formatted(sandbox, paused)))
        .containsExactly("MEASURED");
    Books.assertNothingPastPaid(other);

    one.start();
    assertThat(one.client().get(sandbox).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    one.client().terminate(one.client().create(LONG).getSandboxId());
  }

  @Test
  void serverThatStoodStillTooLongFindsItselfFenced() throws Exception {
    one.start();
    other.start();
    String sandbox = one.client().create(LONG).getSandboxId();
    Run run = one.client().start(Client.bash(sandbox, "sleep 300"));
    assertThat(run.executionId()).isNotEmpty();

    one.standStill();
    try {
      awaitEnd(other, sandbox);
      assertThat(ServerProcess.processes(sandbox)).isEmpty();
    } finally {
      one.goOn();
    }

    Refusal.of(Status.Code.OUT_OF_RANGE, ErrorReason.SEQUENCE_NOT_KEPT, () -> throwEndOf(run));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.SANDBOX_NOT_RUNNING,
        () -> one.client().run(Client.bash(sandbox, "true")));
    // Long enough for whatever it still wanted to write, as it now sees that it is heard again.
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .untilAsserted(() -> one.client().terminate(one.client().create(LONG).getSandboxId()));
    assertThat(
            other.query(
                "select operation || ' ' || outcome from audit_event where sandbox_id = '%s' and operation"
                        .formatted(sandbox)
                    + " = 'terminate'"))
        .containsExactly("terminate ok");
  }

  @Test
  void outOfReachASandboxIsBilledToItsPaidTimeAndNoFurther() throws Exception {
    one.set("LEDGER_LEASE", "8 s").set("LEDGER_STOP_TIME", "2 s").start();
    other.start();
    String sandbox = one.client().create(LONG).getSandboxId();
    one.kill();
    // As on another machine.
    var _ =
        other.update(
            "update replica set place = 'local:elsewhere:/data' where node_id = '%s'"
                .formatted(other.client().get(sandbox).getNodeId()));

    Sandbox ended = awaitEnd(other, sandbox);

    assertThat(ended.getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_ORPHANED);
    assertThat(
            other.query(
                "select end_time = date_trunc('milliseconds', paid_until) from sandbox where"
                    + " sandbox_id = '%s'".formatted(sandbox)))
        .containsExactly("t");
    assertThat(
            other.query(
                "select quality from usage_segment where sandbox_id = '%s' order by from_time desc"
                    .formatted(sandbox)))
        .first()
        .isEqualTo("ESTIMATED");
    await().atMost(PATIENCE).until(() -> ServerProcess.processes(sandbox).isEmpty());
  }

  @Test
  void onlyItsServerRunsThingsInASandboxAndEachTellsOfIt() throws Exception {
    one.start();
    other.start();
    String sandbox = one.client().create(LONG).getSandboxId();
    ExecuteRequest request =
        Client.bash(sandbox, "echo once").toBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .build();

    assertThat(other.client().get(sandbox).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(
            other
                .client()
                .sandboxes()
                .listSandboxes(ListSandboxesRequest.getDefaultInstance())
                .getSandboxesList())
        .extracting(Sandbox::getSandboxId)
        .contains(sandbox);
    List<ThrowingCallable> calls =
        List.of(
            () -> other.client().run(request),
            () -> other.client().pause(sandbox),
            () -> other.client().terminate(sandbox));
    for (ThrowingCallable call : calls) {
      Refusal refusal =
          Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.SANDBOX_ELSEWHERE, call);
      assertThat(refusal.info().getMetadataMap())
          .containsEntry("nodeId", one.client().get(sandbox).getNodeId());
    }
    // What was refused has used up neither the request id nor the sandbox.
    assertThat(one.client().run(request)).isEqualTo("once\n");
    one.client().terminate(sandbox);
    assertThat(other.client().terminate(sandbox).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
  }

  @Test
  void secondServerOfTheSameNameDoesNotStart() throws Exception {
    one.set("NODE_ID", "twin").start();
    other.set("NODE_ID", "twin");

    Process refused = other.launch();

    assertThat(refused.waitFor()).isEqualTo(1);
    assertThat(other.log()).contains("sandkeeper: cannot register as node-id twin");
    assertThat(one.client().create(LONG).getNodeId()).isEqualTo("twin");
    for (String id : one.query("select sandbox_id from sandbox where state = 'RUNNING'")) {
      one.client().terminate(id);
    }
  }

  private static void throwEndOf(Run run) throws Exception {
    try {
      var _ = run.finished();
    } catch (ExecutionException e) {
      throw (Exception) e.getCause();
    }
  }

  private static Sandbox awaitEnd(ServerProcess server, String sandboxId) {
    await()
        .atMost(PATIENCE)
        .until(() ->
            server.client().get(sandboxId).getState() == SandboxState.SANDBOX_STATE_TERMINATED);
    return server.client().get(sandboxId);
  }
}
