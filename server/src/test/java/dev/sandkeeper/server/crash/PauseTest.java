package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.StatusRuntimeException;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Kills the server around a pause, or has the books fail: nothing may run at the price of one. */
@Tag("alone")
class PauseTest {
  private static final int SIGTERM = 15;
  private static final Duration LONG = Duration.ofMinutes(10);
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private ServerProcess server;

  @BeforeEach
  void start() throws Exception {
    server = new ServerProcess().set("LEDGER_LEASE", "20 s").set("LEDGER_STOP_TIME", "4 s").start();
  }

  @AfterEach
  void clean() throws Exception {
    server.close();
  }

  @Test
  void aPausedSandboxStaysPausedThroughAKilledServer() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    server.client().run(Client.python(sandbox, "kept = 42"));
    Run run = server.client().start(Client.bash(sandbox, "while :; do sleep 0.1; done"));
    String execution = run.executionId();
    server.client().pause(sandbox);

    server.kill();
    server.start();

    assertPaused(sandbox);
    assertGoesOn(sandbox);
    assertThat(server.client().run(Client.python(sandbox, "print(kept)"))).isEqualTo("42\n");
    server.client().signal(execution, SIGTERM);
    assertThat(server.client().attach(execution, 0).finished().getReason())
        .isEqualTo(FinishReason.FINISH_REASON_SIGNALED);
    assertEndsSoundly(sandbox);
  }

  @Test
  void whatWasHeldStillButNotBookedIsBookedByTheNextServer() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    server.kill();
    // As a server that is killed between the engine and the books, or on the way back between the
    // books and the engine.
    server.inEngine(sandbox, EngineSandbox::pause);

    server.start();

    assertPaused(sandbox);
    assertThat(server.query("select operation from audit_event order by sequence desc limit 1"))
        .containsExactly("pause");
    assertGoesOn(sandbox);
    assertEndsSoundly(sandbox);
  }

  @Test
  void whatIsBookedAsPausedDoesNotRunOn() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    server.client().pause(sandbox);
    server.kill();
    server.inEngine(sandbox, EngineSandbox::resume);

    server.start();

    assertPaused(sandbox);
    assertGoesOn(sandbox);
    assertEndsSoundly(sandbox);
  }

  @Test
  void whatStandsStillAndCouldNotBeBookedIsBookedLater() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    server.update("alter table hold add constraint hold_no_pause check (not paused)");
    assertThatExceptionOfType(StatusRuntimeException.class)
        .isThrownBy(() -> server.client().pause(sandbox));
    assertThat(server.client().get(sandbox).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);

    server.update("alter table hold drop constraint hold_no_pause");

    await()
        .atMost(PATIENCE)
        .until(() -> server.client().get(sandbox).getState() == SandboxState.SANDBOX_STATE_PAUSED);
    assertPaused(sandbox);
    assertGoesOn(sandbox);
    assertEndsSoundly(sandbox);
  }

  @Test
  void aPausedSandboxThatNoServerRenewsIsSettledWithinWhatItPaid() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    server.client().pause(sandbox);
    server.kill();
    await().atMost(PATIENCE).until(() -> ServerProcess.processes(sandbox).isEmpty());

    server.start();

    assertThat(server.client().get(sandbox).getEndReason())
        .isEqualTo(SandboxEndReason.SANDBOX_END_REASON_ORPHANED);
    Books.assertNothingPastPaid(server);
    Books.assertSound(server);
  }

  private void assertPaused(String sandbox) {
    assertThat(server.client().get(sandbox).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_PAUSED);
    assertThatExceptionOfType(StatusRuntimeException.class)
        .isThrownBy(() -> server.client().run(Client.bash(sandbox, "true")))
        .withMessageContaining("FAILED_PRECONDITION");
  }

  private void assertGoesOn(String sandbox) {
    assertThat(server.client().resume(sandbox).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(server.client().run(Client.bash(sandbox, "echo on"))).isEqualTo("on\n");
  }

  private void assertEndsSoundly(String sandbox) throws Exception {
    server.client().terminate(sandbox);
    assertThat(
            server.query(
                "select distinct state from usage_segment where sandbox_id = '"
                    + sandbox
                    + "' order by state"))
        .containsExactly("PAUSED", "RUNNING");
    Books.assertSound(server);
  }
}
