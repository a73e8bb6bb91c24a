package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.server.engine.FakeCloud;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: an engine may take its time to pause, as one does that writes gigabytes of memory to disk.
final class SlowPauseServiceTest {
  private static final FakeCloud cloud = new FakeCloud();

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of("SANDKEEPER_LEDGER_LEASE", "2 s", "SANDKEEPER_LEDGER_STOP_TIME", "1 s"),
          List.of(added(new FakeEngine("slow", cloud))));

  private final Caller admin = server.admin();

  @Test
  void aPauseMayTakeLongerThanALease() throws Exception {
    CompletableFuture<Boolean> mayPause = new CompletableFuture<>();
    cloud.whilePausing(mayPause::join);
    Sandbox sandbox = EngineFixture.create(admin, template -> template.setEngine("slow"));
    String id = sandbox.getSandboxId();

    CompletableFuture<Sandbox> pausing = CompletableFuture.supplyAsync(() -> admin.pause(id));

    await()
        .atMost(Duration.ofMinutes(1))
        .until(() ->
            Durations.toMillis(
                    Timestamps.between(
                        sandbox.getCreateTime(), admin.usage(id).getMeteredUntilTime()))
                > 6_000);
    assertThat(admin.get(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    mayPause.complete(true);
    assertThat(pausing.get(30, TimeUnit.SECONDS).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_PAUSED);
    admin.terminate(id);
  }
}
