package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.FakeCloud;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: nothing is billed after the engine has ended a sandbox by itself, at the end of the paid
// time that it knows of. Method: a cloud that takes no renewals, or long to end a sandbox.
final class EnginePaidTimeServiceTest {
  private static final Duration LEASE = Duration.ofSeconds(4);
  private static final Duration STOP_TIME = Duration.ofSeconds(1);
  private static final FakeCloud cloud = new FakeCloud();
  private static final FakeEngine spare = new FakeEngine("spare", cloud);

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_LEDGER_LEASE", LEASE.toSeconds() + " s",
              "SANDKEEPER_LEDGER_STOP_TIME", STOP_TIME.toSeconds() + " s",
              "SANDKEEPER_SANDBOX_SWEEP_INTERVAL", "100 ms"),
          List.of(added(spare)));

  private final Caller admin = server.admin();

  @AfterEach
  void recover() {
    cloud.whileRenewing(() -> {});
    cloud.whileEnding(() -> {});
  }

  private Sandbox create() {
    return EngineFixture.create(admin, template -> template.setEngine("spare"));
  }

  private static Duration lived(Sandbox sandbox) {
    return Duration.ofMillis(
        Timestamps.toMillis(sandbox.getEndTime()) - Timestamps.toMillis(sandbox.getStartTime()));
  }

  @Test
  void aSandboxWhoseEngineTakesNoRenewalEndsWithWhatTheEngineKnowsOf() {
    cloud.whileRenewing(() -> {
      throw new EngineException(EngineException.Kind.UNAVAILABLE, "no answer");
    });
    Sandbox sandbox = create();

    Awaitility.await()
        .atMost(LEASE.multipliedBy(3))
        .until(
            () -> admin.get(sandbox.getSandboxId()).getState(),
            SandboxState.SANDBOX_STATE_TERMINATED::equals);

    assertThat(lived(admin.get(sandbox.getSandboxId())))
        .isBetween(LEASE.dividedBy(2), LEASE.plus(STOP_TIME));
    assertThat(spare.sandboxes()).isEmpty();
  }

  @Test
  void anEngineThatTakesLongToEndASandboxIsNotBilledForPastThePaidTime() {
    Sandbox sandbox = create();
    cloud.whileEnding(() -> sleep(LEASE.plus(STOP_TIME).multipliedBy(2)));

    Sandbox ended = admin.terminate(sandbox.getSandboxId());

    assertThat(lived(ended)).isLessThanOrEqualTo(LEASE.plus(STOP_TIME));
  }

  @Test
  void aServerThatStoodStillPaysForNothingThatHasEnded() {
    AtomicBoolean first = new AtomicBoolean(true);
    cloud.whileRenewing(() -> {
      if (first.getAndSet(false)) {
        sleep(LEASE.multipliedBy(3));
      }
    });
    Sandbox sandbox = create();

    Awaitility.await()
        .atMost(LEASE.multipliedBy(5))
        .until(
            () -> admin.get(sandbox.getSandboxId()).getState(),
            SandboxState.SANDBOX_STATE_TERMINATED::equals);

    // Half a lease, and another.
    assertThat(lived(admin.get(sandbox.getSandboxId())))
        .isLessThanOrEqualTo(LEASE.multipliedBy(3).dividedBy(2).plus(STOP_TIME));
  }

  private static void sleep(Duration time) {
    try {
      Thread.sleep(time);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
