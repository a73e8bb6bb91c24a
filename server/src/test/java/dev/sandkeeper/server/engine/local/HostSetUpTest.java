package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** What the scripts tell a user for whom this machine was not set up. */
class HostSetUpTest {

  private record Result(int exitCode, String text) {}

  private static Result run(String script, String... arguments) throws Exception {
    Path deploy = Path.of("deploy");
    if (!Files.exists(deploy)) {
      // Maven runs tests in the module's folder.
      deploy = Path.of("..", "deploy");
    }
    List<String> command = new ArrayList<>(List.of(deploy.resolve(script).toString()));
    command.addAll(List.of(arguments));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Result(process.waitFor(), text);
  }

  @Test
  void checkNamesWhatIsMissingAndTheCommandForIt() throws Exception {
    Result result = run("setup-host", "--check", "nobody");

    assertThat(result.exitCode()).isEqualTo(1);
    assertThat(result.text())
        .contains("not set up", "nobody has no range", "/etc/subuid", "control group")
        .containsPattern("sudo /.*/deploy/setup-host nobody");
  }

  @Test
  void checkNamesAUserWhoDoesNotExist() throws Exception {
    Result result = run("setup-host", "--check", "nobody-of-that-name");

    assertThat(result.exitCode()).isEqualTo(1);
    assertThat(result.text()).contains("the user nobody-of-that-name does not exist");
  }

  @Test
  void launcherDoesNotStartWithoutTheSetUp() throws Exception {
    Result result = run("lib/in-namespace", "--user", "nobody", "echo", "started");

    assertThat(result.exitCode()).isEqualTo(1);
    assertThat(result.text()).contains("setup-host").doesNotContain("started\n");
  }

  @Test
  void helpAndMistakesAreAnswered() throws Exception {
    assertThat(run("setup-host", "--help").text()).contains("--check", "USER");
    assertThat(run("setup-host", "--nonsense").exitCode()).isEqualTo(1);
    assertThat(run("lib/in-namespace").exitCode()).isEqualTo(1);
  }
}
