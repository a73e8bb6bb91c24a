package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.Recording;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Commands beyond what every engine does with them. */
class LocalEngineCommandTest {

  private static final Duration LONG = Duration.ofSeconds(30);

  @Test
  void tooManyAtOnceAreRefusedAndSaySo() throws Exception {
    List<Recording> recordings = new ArrayList<>();
    List<EngineExecution> executions = new ArrayList<>();
    try (EngineFixture fixture = new EngineFixture();
        EngineFixtureSandbox crowded = new EngineFixtureSandbox(fixture)) {
      for (int i = 0; i < 150; i++) {
        Recording recording = new Recording();
        executions.add(
            crowded.sandbox().start(EngineFixture.command(LONG, "sleep", "30"), recording));
        recordings.add(recording);
      }
      await().until(() -> recordings.stream().anyMatch(Recording::isFinished));
      Recording refused = recordings.stream().filter(Recording::isFinished).findFirst().get();
      assertThat(refused.await().reason()).isEqualTo(Reason.NOT_STARTED);
      assertThat(refused.errors()).isNotEmpty();
    }
    for (Recording recording : recordings) {
      recording.await();
    }
    assertThat(executions).hasSize(150);
  }
}
