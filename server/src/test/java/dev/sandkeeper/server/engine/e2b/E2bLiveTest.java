package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.EngineInstance;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Requests;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import org.junit.jupiter.api.io.TempDir;

/**
 * The main path at E2B's own cloud, by the key in the environment: one sandbox for some seconds,
 * which costs a fraction of a cent.
 */
@EnabledIfEnvironmentVariable(
    named = "E2B_API_KEY",
    matches = ".+",
    disabledReason = "E2B_API_KEY is not set: nothing was tried at E2B itself, only at its peer")
class E2bLiveTest {
  @Test
  void oneSandboxFromCreationToEnd(@TempDir Path stateFolder) throws Exception {
    E2bEngineSettings settings =
        new E2bEngineSettings(
            stateFolder,
            E2bSettings.of("e2b.app", Optional.empty(), Optional.empty()),
            () -> System.getenv("E2B_API_KEY"),
            "base",
            Duration.ofHours(1),
            Duration.ofMinutes(5),
            Duration.ofSeconds(60),
            8);
    try (E2bEngine engine = new E2bEngine(settings)) {
      engine.check();
      EngineSandbox sandbox = engine.create(E2bFixture.spec(Duration.ofMinutes(3)));
      try {
        assertThat(Requests.run(sandbox, Requests.bash("echo out; echo err >&2; exit 3")).stdout())
            .isEqualTo("out\n");
        assertThat(Requests.run(sandbox, Requests.python("kept = 7; kept")).results())
            .containsEntry("text/plain", "7");
        sandbox.pause();
        sandbox.resume();
        assertThat(Requests.run(sandbox, Requests.python("kept")).results())
            .containsEntry("text/plain", "7");
        Requests.run(sandbox, Requests.bash("echo kept > file"));
        assertThat(
                new String(Requests.read(sandbox.files(), "file", 0, 10), StandardCharsets.UTF_8))
            .isEqualTo("kept\n");
      } finally {
        sandbox.destroy(Duration.ZERO);
      }
      assertThat(engine.list())
          .doesNotContain(new EngineInstance(sandbox.id(), sandbox.generation()));
    }
  }
}
