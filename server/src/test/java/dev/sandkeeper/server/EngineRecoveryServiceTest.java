package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.engine.FakeEngine.Call;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.StatusRuntimeException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What a server that starts does with the sandboxes of several engines. */
final class EngineRecoveryServiceTest {
  private static final FakeEngine spare = new FakeEngine("spare");

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_SANDBOX_SWEEP_INTERVAL", "100 ms",
              "SANDKEEPER_ENGINE_GUARD_WINDOW", "1000",
              "SANDKEEPER_ENGINE_GUARD_MINIMUM_CALLS", "1000"),
          List.of(added(spare)));

  @AfterEach
  void recover() {
    spare.recover();
  }

  @Test
  void eachEnginesSandboxesAreTakenUpAlsoWhenTheEngineCannotBeAskedAtOnce() throws Exception {
    Sandbox local = server.admin().create();
    Sandbox other = EngineFixture.create(server.admin(), template -> template.setEngine("spare"));
    spare.fail(Call.ADOPT, EngineException.Kind.UNAVAILABLE);
    int before = spare.calls(Call.ADOPT);

    server.restart();

    assertThat(Caller.stdout(server.admin().shell(local.getSandboxId(), "echo here")))
        .isEqualTo("here\n");
    // The sweeps go on asking, and end nothing meanwhile.
    Awaitility.await().until(() -> spare.calls(Call.ADOPT) > before + 3);
    assertThat(spare.sandboxes()).hasSize(1);
    assertThatThrownBy(() -> server.admin().pause(other.getSandboxId()))
        .isInstanceOf(StatusRuntimeException.class);
    spare.recover();
    Awaitility.await()
        .ignoreExceptions()
        .until(
            () -> server.admin().pause(other.getSandboxId()).getState(),
            SandboxState.SANDBOX_STATE_PAUSED::equals);
    assertThat(spare.calls(Call.DESTROY)).isZero();
  }

  @Test
  void sandboxesWhoseTakingUpTakesLongDoNotWaitForEachOther() throws Exception {
    List<Sandbox> sandboxes =
        IntStream.range(0, 5)
            .mapToObj(
                _ -> EngineFixture.create(server.admin(), template -> template.setEngine("spare")))
            .toList();
    CyclicBarrier together = new CyclicBarrier(sandboxes.size());
    spare.whileAdopting(() -> {
      together.await(10, TimeUnit.SECONDS);
      return null;
    });

    server.restart();

    assertThat(sandboxes)
        .allSatisfy(sandbox ->
            assertThat(server.admin().pause(sandbox.getSandboxId()).getState())
                .isEqualTo(SandboxState.SANDBOX_STATE_PAUSED));
  }

  @Test
  void databaseThatFailsWhileSandboxesAreTakenUpCostsNone() throws Exception {
    String sandbox = server.admin().create().getSandboxId();
    server.admin().shell(sandbox, "echo kept > file");
    server
        .database()
        .ownerContext()
        .execute(
            "create function go_down() returns trigger language plpgsql as $$"
                + " begin raise exception using errcode = 'admin_shutdown'; end $$;"
                + " create trigger go_down before update on execution"
                + " execute function go_down()");
    try {
      server.restart();
      assertThatThrownBy(() -> server.admin().pause(sandbox))
          .isInstanceOf(StatusRuntimeException.class);
      // Longer than the sweeps are apart.
      TimeUnit.SECONDS.sleep(1);
    } finally {
      server.database().ownerContext().execute("drop function go_down cascade");
    }

    Awaitility.await()
        .ignoreExceptions()
        .until(() -> Caller.stdout(server.admin().shell(sandbox, "cat file")), "kept\n"::equals);
  }
}
