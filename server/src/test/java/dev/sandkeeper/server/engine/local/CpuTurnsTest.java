package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.Requests;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who goes first, by what each has used of two processors; the clock is set by the test. */
class CpuTurnsTest {

  private static final long QUARTER = 250_000_000;

  @TempDir Path folder;

  private final Map<SandboxId, Cgroup> groups = new LinkedHashMap<>();
  private final List<Sandbox> sandboxes = new ArrayList<>();
  private long now;
  private final CpuTurns turns = new CpuTurns(2, () -> now);

  /** A group of files, as version 2 has them. */
  private final class Sandbox {
    private final SandboxId id = new SandboxId(Requests.name());
    private final Path range = folder.resolve("range-" + sandboxes.size());
    private final Path group = range.resolve(id.value());
    private long cpuMicros;

    Sandbox() throws IOException {
      Files.createDirectories(group);
      Files.writeString(range.resolve("cpu.idle"), "");
      set("cpu.stat", "usage_usec 0\n");
      set("cgroup.freeze", "0\n");
      groups.put(id, new CgroupV2(group));
      sandboxes.add(this);
    }

    private void set(String file, String content) throws IOException {
      Files.writeString(group.resolve(file), content);
    }

    /** Uses a part of a processor until the next look. */
    void uses(double part) throws IOException {
      cpuMicros += (long) (part * QUARTER / 1_000);
      set("cpu.stat", "usage_usec " + cpuMicros + "\n");
    }

    boolean givesWay() {
      return CgroupFiles.number(range.resolve("cpu.idle")).equals(OptionalLong.of(1));
    }
  }

  private void look() {
    now += QUARTER;
    turns.look(groups);
  }

  @Test
  void aNewOneGoesAsAllDo() throws IOException {
    Sandbox sandbox = new Sandbox();
    sandbox.uses(2);
    look();
    assertThat(sandbox.givesWay()).isFalse();
  }

  @Test
  void whoSpinsGivesWayToWhoDoesLittleUntilItDoesLittle() throws IOException {
    Sandbox spinner = new Sandbox();
    Sandbox other = new Sandbox();
    look();
    spinner.uses(1.6);
    other.uses(0.4);
    look();
    assertThat(spinner.givesWay()).isTrue();
    assertThat(other.givesWay()).isFalse();

    spinner.uses(0.2);
    look();
    assertThat(spinner.givesWay()).isTrue();

    spinner.uses(0.04);
    look();
    assertThat(spinner.givesWay()).isFalse();
  }

  @Test
  void allThatSpinGoAlike() throws IOException {
    Sandbox one = new Sandbox();
    Sandbox other = new Sandbox();
    look();
    one.uses(1.1);
    other.uses(0.9);
    look();
    assertThat(one.givesWay()).isTrue();
    assertThat(other.givesWay()).isTrue();
  }

  /** Otherwise many that use a little each could keep one that uses more from its share. */
  @Test
  void muchIsThreeQuartersOfAFairShareOfThoseThatWork() throws IOException {
    List<Sandbox> many = new ArrayList<>();
    for (int i = 0; i < 10; i++) {
      many.add(new Sandbox());
    }
    Sandbox idle = new Sandbox();
    look();
    many.getFirst().uses(0.14);
    for (Sandbox sandbox : many.subList(1, 10)) {
      sandbox.uses(0.16);
    }
    look();
    assertThat(many.getFirst().givesWay()).isFalse();
    assertThat(many.subList(1, 10)).allMatch(Sandbox::givesWay);
    assertThat(idle.givesWay()).isFalse();
  }

  @Test
  void onePausedGoesOnAsWhatItWas() throws IOException {
    Sandbox spinner = new Sandbox();
    look();
    spinner.uses(2);
    look();
    spinner.set("cgroup.freeze", "1\n");
    look();
    assertThat(spinner.givesWay()).isTrue();

    spinner.set("cgroup.freeze", "0\n");
    look();
    assertThat(spinner.givesWay()).isFalse();
  }

  @Test
  void oneThatCannotBeToldIsTriedAgain() throws IOException {
    Sandbox spinner = new Sandbox();
    Path file = spinner.range.resolve("cpu.idle");
    Files.delete(file);
    look();
    spinner.uses(2);
    look();
    assertThat(file).doesNotExist();

    Files.writeString(file, "");
    spinner.uses(2);
    look();
    assertThat(spinner.givesWay()).isTrue();
  }
}
