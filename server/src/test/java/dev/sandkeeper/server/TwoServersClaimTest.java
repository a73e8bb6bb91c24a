package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.FakeCloud;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.engine.FakeEngine.Call;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: what a silent server left in each of its engines is ended by the same engine of another.
final class TwoServersClaimTest {
  private static final FakeCloud cloud = new FakeCloud();
  private static final FakeEngine ofFirst = new FakeEngine("cloud", cloud);

  @RegisterExtension
  static final TwoServers servers =
      new TwoServers(
          true,
          Map.of(
              "SANDKEEPER_REPLICA_TIMEOUT", "5 s",
              "SANDKEEPER_SANDBOX_SWEEP_INTERVAL", "200 ms"),
          List.of(added(ofFirst)),
          List.of(added(new FakeEngine("cloud", cloud))));

  @Test
  void eachSandboxIsEndedByItsEngine() {
    String name = EngineFixture.template(servers.admin(), template -> template.setEngine("cloud"));
    Sandbox inCloud = servers.caller(1).create(request -> request.setTemplate(name));
    Sandbox local = servers.caller(1).create();

    servers.stopSecond();

    for (Sandbox sandbox : List.of(inCloud, local)) {
      // Long before its paid time is over, so that it was reached.
      Awaitility.await()
          .atMost(Duration.ofSeconds(40))
          .until(
              () -> servers.admin().get(sandbox.getSandboxId()).getState(),
              SandboxState.SANDBOX_STATE_TERMINATED::equals);
    }
    assertThat(cloud.sandboxes()).isEmpty();
    assertThat(ofFirst.calls(Call.END)).isEqualTo(1);
  }
}
