package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The kernel's switch of both versions, as files of a folder that the kernel does not change. The
 * real one is met by the tests of the engine.
 */
class FreezerTest {

  private static final Duration SHORT = Duration.ofMillis(20);

  @TempDir Path group;

  private Path write(String file, String content) throws IOException {
    return Files.writeString(group.resolve(file), content);
  }

  @Test
  void versionOneIsFrozenAndThawed() throws IOException {
    Path state = write("freezer.state", "THAWED\n");
    Freezer freezer = Freezer.ofVersionOne(group);

    assertThat(freezer.isOn()).isFalse();
    assertThat(freezer.freeze(SHORT)).isTrue();
    assertThat(state).hasContent("FROZEN");
    assertThat(freezer.isOn()).isTrue();
    freezer.thaw();
    assertThat(state).hasContent("THAWED");
  }

  @Test
  void versionTwoIsFrozenOnceTheKernelSaysSo() throws IOException {
    Path freeze = write("cgroup.freeze", "0\n");
    write("cgroup.events", "populated 1\nfrozen 1\n");
    Freezer freezer = Freezer.ofVersionTwo(group);

    assertThat(freezer.isOn()).isFalse();
    assertThat(freezer.freeze(SHORT)).isTrue();
    assertThat(freeze).hasContent("1");
    assertThat(freezer.isOn()).isTrue();
    freezer.thaw();
    assertThat(freeze).hasContent("0");
  }

  @Test
  void whatCannotBeFrozenIsThawedAgain() throws IOException {
    Path freeze = write("cgroup.freeze", "0\n");
    write("cgroup.events", "populated 1\nfrozen 0\n");

    assertThat(Freezer.ofVersionTwo(group).freeze(SHORT)).isFalse();
    assertThat(freeze).hasContent("0");
  }

  @Test
  void groupThatIsStillBeingFrozenIsOn() throws IOException {
    write("freezer.state", "FREEZING\n");

    assertThat(Freezer.ofVersionOne(group).isOn()).isTrue();
  }

  @Test
  void missingSwitchIsSaidWithWhatToDo() {
    Freezer freezer = Freezer.ofVersionOne(group);

    assertThat(freezer.isOn()).isFalse();
    freezer.thaw();
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> freezer.freeze(SHORT))
        .withMessageContainingAll("freezer.state", "deploy/setup-host")
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));
    assertThat(group).isEmptyDirectory();
  }
}
