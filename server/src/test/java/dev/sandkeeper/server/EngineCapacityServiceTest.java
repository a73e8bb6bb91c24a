package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static dev.sandkeeper.server.EngineFixture.lastEvent;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.engine.FakeEngine.Call;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.Status;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** An engine with a bounded number of places, as its callers meet it. */
final class EngineCapacityServiceTest {
  private static final FakeEngine small = new FakeEngine("small");
  private static final FakeEngine down = new FakeEngine("down");

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of(), List.of(added(small, 1), added(down, 5)));

  private final Caller admin = server.admin();

  @AfterEach
  void recover() {
    down.recover();
  }

  @Test
  void aFullEngineRefusesAndSaysWhatRunsInIt() {
    String name = EngineFixture.template(admin, template -> template.setEngine("small"));
    Sandbox first = admin.create(request -> request.setTemplate(name));

    Refusal refusal =
        Refusal.of(
            Status.Code.RESOURCE_EXHAUSTED,
            ErrorReason.ENGINE_FULL,
            () -> admin.create(request -> request.setTemplate(name)));

    assertThat(refusal.info().getMetadataMap())
        .containsEntry("engine", "small")
        .containsEntry("capacity", "1")
        .containsEntry("running", "1");
    assertThat(lastEvent(admin).getOutcome()).isEqualTo("ENGINE_FULL");
    assertThat(EngineFixture.engine(admin, "small").getCapacity()).isEqualTo(1);
    admin.terminate(first.getSandboxId());
    assertThat(admin.create(request -> request.setTemplate(name)).getEngine()).isEqualTo("small");
  }

  @Test
  void whatIsTooManyGoesToTheNextEngine() {
    String name =
        EngineFixture.template(
            admin, template -> template.setEngine("small").addFallbackEngines("local"));
    var _ = admin.create(request -> request.setTemplate(name));

    Sandbox second = admin.create(request -> request.setTemplate(name));

    assertThat(second.getEngine()).isEqualTo("local");
    assertThat(second.getRuntime()).isEqualTo("runc");
    assertThat(lastEvent(admin).getDetail())
        .isEqualTo("template " + name + ", failed over from small to local");
    assertThat(server.metrics())
        .contains(
            "sandkeeper_engine_failover_total{engine=\"small\",reason=\"full\","
                + "to_engine=\"local\"}");
  }

  @Test
  void whatFailsOverFindsNoPlaceInAFullEngine() {
    String filling = EngineFixture.template(admin, template -> template.setEngine("small"));
    var _ = admin.create(request -> request.setTemplate(filling));
    down.fail(Call.CREATE, EngineException.Kind.UNAVAILABLE);
    String name =
        EngineFixture.template(
            admin,
            template ->
                template.setEngine("down").addFallbackEngines("small").addFallbackEngines("local"));

    assertThat(admin.create(request -> request.setTemplate(name)).getEngine()).isEqualTo("local");
    assertThat(small.sandboxes()).hasSize(1);
  }

  @Test
  void aPausedSandboxNeedsAPlaceToGoOn() {
    String name = EngineFixture.template(admin, template -> template.setEngine("small"));
    Sandbox first = admin.create(request -> request.setTemplate(name));
    admin.pause(first.getSandboxId());
    Sandbox second = admin.create(request -> request.setTemplate(name));

    Refusal.of(
        Status.Code.RESOURCE_EXHAUSTED,
        ErrorReason.ENGINE_FULL,
        () -> admin.resume(first.getSandboxId()));

    assertThat(lastEvent(admin).getOutcome()).isEqualTo("ENGINE_FULL");
    assertThat(admin.get(first.getSandboxId()).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_PAUSED);
    admin.terminate(second.getSandboxId());
    assertThat(admin.resume(first.getSandboxId()).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
  }
}
