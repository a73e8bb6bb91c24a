package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.FakeCloud;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.engine.FakeEngine.Call;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: an engine whose place two servers share has no more sandboxes than it may, and neither
// server ends the other's. EnginesGuardTest shows that the race fails without the guard.
final class TwoServersEnginesTest {
  private static final int PLACES = 5;
  private static final int CALLERS = 8;
  private static final int ROUNDS = 5;

  private static final FakeCloud cloud = new FakeCloud();
  private static final FakeEngine ofFirst = new FakeEngine("cloud", cloud);
  private static final FakeEngine ofSecond = new FakeEngine("cloud", cloud);

  @RegisterExtension
  static final TwoServers servers =
      new TwoServers(
          true,
          Map.of("SANDKEEPER_SANDBOX_SWEEP_INTERVAL", "100 ms"),
          List.of(added(ofFirst, PLACES)),
          List.of(added(ofSecond, PLACES)));

  @Test
  void createsAtOnceOverTwoServersNeverPassTheCapacity() throws Exception {
    String name = EngineFixture.template(servers.admin(), template -> template.setEngine("cloud"));
    for (int round = 0; round < ROUNDS; round++) {
      Map<Sandbox, Caller> created = new ConcurrentHashMap<>();

      TwoServers.Race race =
          servers.race(
              CALLERS,
              caller -> created.put(caller.create(request -> request.setTemplate(name)), caller));

      assertThat(race.granted()).as("granted in round %s", round).isEqualTo(PLACES);
      assertThat(cloud.mostRunning()).isEqualTo(PLACES);
      created.forEach((sandbox, caller) -> caller.terminate(sandbox.getSandboxId()));
    }
  }

  @Test
  void neitherServerEndsTheOthersSandboxes() {
    String name = EngineFixture.template(servers.admin(), template -> template.setEngine("cloud"));
    Sandbox sandbox = servers.caller(0).create(request -> request.setTemplate(name));
    int seen = ofSecond.calls(Call.LIST);

    Awaitility.await().until(() -> ofSecond.calls(Call.LIST) > seen + 5);

    assertThat(cloud.sandboxes()).hasSize(1);
    assertThat(servers.caller(0).get(sandbox.getSandboxId()).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
  }
}
