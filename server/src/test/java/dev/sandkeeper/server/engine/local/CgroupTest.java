package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Control groups as kernels show them, written to a folder: version 1 from a hybrid machine,
 * version 2 from one with nothing else. The real ones are met by the tests of the engine.
 */
class CgroupTest {

  private static final SandboxId ID = new SandboxId("abcdefghij0123456789");

  @TempDir Path root;

  private void write(String file, String content) throws IOException {
    Path path = root.resolve(file);
    Files.createDirectories(path.getParent());
    Files.writeString(path, content);
  }

  private CgroupTree unified() throws IOException {
    write("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma misc\n");
    write("sandkeeper/cgroup.controllers", "cpuset cpu memory pids\n");
    return CgroupTree.detect(root, "sandkeeper");
  }

  private CgroupTree hybrid() throws IOException {
    for (String controller : List.of("cpu", "cpuacct", "memory", "pids", "freezer", "systemd")) {
      Files.createDirectories(root.resolve(controller).resolve("sandkeeper"));
    }
    write("unified/cgroup.controllers", "\n");
    return CgroupTree.detect(root, "sandkeeper");
  }

  @ParameterizedTest
  @CsvSource({
    "true, sandkeeper/range-3/cpu.weight, 100, 12",
    "true, sandkeeper/range-3/cpu.idle, 0, 1",
    "false, cpu/sandkeeper/range-3/cpu.shares, 1024, 128",
    "false, cpu/sandkeeper/range-3/cpu.idle, 0, 1"
  })
  void aSandboxGivesWayToThoseBesideIt(boolean unified, String file, String usual, String less)
      throws IOException {
    CgroupTree tree = unified ? unified() : hybrid();
    write(file, "");
    tree.sandbox(3, ID).giveWay(true);
    assertThat(root.resolve(file)).hasContent(less);
    tree.sandbox(3, ID).giveWay(false);
    assertThat(root.resolve(file)).hasContent(usual);
  }

  @Test
  void versionTwoIsRead() throws IOException {
    String group = "sandkeeper/range-3/" + ID + "/";
    CgroupTree tree = unified();
    write(
        group + "cpu.stat",
        """
        usage_usec 1234567
        user_usec 1000000
        system_usec 234567
        nr_periods 12
        nr_throttled 3
        throttled_usec 4567
        """);
    write(group + "memory.current", "73400320\n");
    write(group + "memory.peak", "104857600\n");
    write(
        group + "memory.stat",
        """
        anon 41943040
        file 31457280
        inactive_anon 1
        inactive_file 10485760
        active_file 20971520
        """);
    write(group + "memory.events", "low 0\nhigh 0\nmax 17\noom 2\noom_kill 1\noom_group_kill 0\n");
    write(group + "cgroup.procs", "4711\n4712\n");

    Cgroup cgroup = tree.sandbox(3, ID);
    assertThat(tree.unified()).isTrue();
    assertThat(tree.pathOf(3, ID)).isEqualTo("/sandkeeper/range-3/" + ID);
    assertThat(cgroup.cpuMicros()).hasValue(1_234_567);
    assertThat(cgroup.memoryBytes()).hasValue(73_400_320 - 10_485_760);
    assertThat(cgroup.peakMemoryBytes()).hasValue(104_857_600);
    assertThat(cgroup.outOfMemoryKills()).isEqualTo(1);
    assertThat(cgroup.processes()).containsExactly(4711L, 4712L);
    assertThat(tree.rangeOf(ID)).hasValue(3);
  }

  @Test
  void olderVersionTwoHasNoPeakAndSaysSo() throws IOException {
    CgroupTree tree = unified();
    write("sandkeeper/range-0/" + ID + "/memory.current", "4096\n");
    write("sandkeeper/range-0/" + ID + "/memory.stat", "anon 4096\ninactive_file 0\n");

    assertThat(tree.sandbox(0, ID).peakMemoryBytes()).isEmpty();
    assertThat(tree.sandbox(0, ID).memoryBytes()).hasValue(4096);
  }

  @Test
  void versionOneOfAHybridTreeIsRead() throws IOException {
    CgroupTree tree = hybrid();
    String group = "/sandkeeper/range-5/" + ID + "/";
    write("cpuacct" + group + "cpuacct.usage", "1234567890\n");
    write("memory" + group + "memory.usage_in_bytes", "73400320\n");
    write("memory" + group + "memory.max_usage_in_bytes", "104857600\n");
    write(
        "memory" + group + "memory.stat",
        """
        cache 1
        inactive_file 1
        hierarchical_memory_limit 268435456
        total_inactive_file 3400320
        """);
    write("memory" + group + "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
    write("pids" + group + "cgroup.procs", "99\n");

    Cgroup cgroup = tree.sandbox(5, ID);
    assertThat(tree.unified()).isFalse();
    assertThat(cgroup.cpuMicros()).hasValue(1_234_567);
    assertThat(cgroup.memoryBytes()).hasValue(70_000_000);
    assertThat(cgroup.peakMemoryBytes()).hasValue(104_857_600);
    assertThat(cgroup.outOfMemoryKills()).isEqualTo(4);
    assertThat(cgroup.processes()).containsExactly(99L);
    assertThat(tree.rangeOf(ID)).hasValue(5);
  }

  @Test
  void whatIsGoneOrUnreadableIsAbsentNotZero() throws IOException {
    CgroupTree tree = unified();
    Cgroup gone = tree.sandbox(1, ID);
    write("sandkeeper/range-2/" + ID + "/cpu.stat", "user_usec 5\n");
    write("sandkeeper/range-2/" + ID + "/memory.current", "max\n");

    assertThat(gone.cpuMicros()).isEmpty();
    assertThat(gone.memoryBytes()).isEmpty();
    assertThat(gone.peakMemoryBytes()).isEmpty();
    assertThat(gone.processes()).isEmpty();
    assertThat(tree.sandbox(2, ID).cpuMicros()).isEmpty();
    assertThat(tree.sandbox(2, ID).memoryBytes()).isEmpty();
    assertThat(tree.rangeOf(new SandboxId("x".repeat(20)))).isEmpty();
  }

  @Test
  void swapIsLimitedWhereTheKernelCountsIt() throws IOException {
    assertThat(unified().limitsSwap()).isFalse();
    write("sandkeeper/memory.swap.max", "max\n");
    assertThat(CgroupTree.detect(root, "sandkeeper").limitsSwap()).isTrue();
  }

  private void writeEmpty(String folder, String... files) throws IOException {
    for (String file : files) {
      write(folder + file, "");
    }
  }

  private String read(String file) throws IOException {
    return Files.readString(root.resolve(file)).strip();
  }

  @Test
  void versionTwoIsMadeWithItsLimits() throws IOException {
    String group = "sandkeeper/range-3/" + ID + "/";
    CgroupTree tree = unified();
    writeEmpty("sandkeeper/", "cgroup.subtree_control");
    writeEmpty("sandkeeper/range-3/", "cgroup.subtree_control");
    writeEmpty(group, "memory.max", "memory.swap.max", "cpu.max", "pids.max");

    assertThat(tree.sandbox(3, ID).make(new GroupLimits(1 << 20, true, 200_000, 99)))
        .containsExactly(root.resolve(group + "cgroup.procs"));

    assertThat(read("sandkeeper/cgroup.subtree_control")).isEqualTo("+cpu +memory +pids");
    assertThat(read("sandkeeper/range-3/cgroup.subtree_control")).isEqualTo("+cpu +memory +pids");
    assertThat(read(group + "memory.max")).isEqualTo("1048576");
    assertThat(read(group + "memory.swap.max")).isEqualTo("0");
    assertThat(read(group + "cpu.max")).isEqualTo("200000 100000");
    assertThat(read(group + "pids.max")).isEqualTo("99");
  }

  @Test
  void versionOneIsMadeInEveryHierarchyWithItsLimits() throws IOException {
    String group = "/sandkeeper/range-5/" + ID + "/";
    CgroupTree tree = hybrid();
    write("cpuset/sandkeeper/cpuset.cpus", "0-1\n");
    write("cpuset/sandkeeper/cpuset.mems", "0\n");
    writeEmpty("cpuset/sandkeeper/range-5/", "cpuset.cpus", "cpuset.mems");
    writeEmpty("cpuset" + group, "cpuset.cpus", "cpuset.mems");
    writeEmpty("memory" + group, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
    writeEmpty("cpu" + group, "cpu.cfs_period_us", "cpu.cfs_quota_us");
    writeEmpty("pids" + group, "pids.max");

    assertThat(tree.sandbox(5, ID).make(new GroupLimits(1 << 20, true, 200_000, 99)))
        .extracting(entrance -> root.relativize(entrance).getName(0).toString())
        .containsExactly("cpu", "cpuacct", "memory", "pids", "cpuset", "freezer", "systemd");

    assertThat(read("cpuset/sandkeeper/range-5/cpuset.cpus")).isEqualTo("0-1");
    assertThat(read("cpuset" + group + "cpuset.cpus")).isEqualTo("0-1");
    assertThat(read("cpuset" + group + "cpuset.mems")).isEqualTo("0");
    assertThat(read("memory" + group + "memory.limit_in_bytes")).isEqualTo("1048576");
    assertThat(read("memory" + group + "memory.memsw.limit_in_bytes")).isEqualTo("1048576");
    assertThat(read("cpu" + group + "cpu.cfs_quota_us")).isEqualTo("200000");
    assertThat(read("pids" + group + "pids.max")).isEqualTo("99");
    assertThat(root.resolve("freezer" + group)).isDirectory();
  }

  @Test
  void missingFolderIsSaidWithWhatToDo() {
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> CgroupTree.detect(root, "sandkeeper"))
        .withMessageContainingAll("control group", "deploy/setup-host", "deploy/lib/in-namespace");
  }

  @Test
  void rangesAreClaimedOnceAndGivenBack() throws IOException {
    CgroupTree tree = hybrid();
    IdRanges ours = new IdRanges(tree, 1, 3);
    IdRanges ofAnotherServer = new IdRanges(CgroupTree.detect(root, "sandkeeper"), 1, 3);

    assertThat(List.of(ours.claim(), ofAnotherServer.claim(), ours.claim()))
        .containsExactlyInAnyOrder(0, 1, 2);
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(ours::claim)
        .withMessageContaining("all 3 id ranges are in use");
    tree.release(1, Optional.of(ID));
    assertThat(ofAnotherServer.claim()).isEqualTo(1);
    assertThat(ours.firstId(2)).isEqualTo(1 + 2 * 65_536);
  }

  @Test
  void claimsThatWereForgottenAreGivenBack() throws IOException {
    CgroupTree tree = unified();
    Instant now = Instant.now();
    assertThat(tree.claim(0) && tree.claim(1)).isTrue();
    write("sandkeeper/range-2/" + ID + "/cgroup.procs", "");
    FileTime old = FileTime.from(now.minusSeconds(600));
    Files.setLastModifiedTime(root.resolve("sandkeeper/range-0"), old);
    Files.setLastModifiedTime(root.resolve("sandkeeper/range-2"), old);

    tree.releaseForgotten(now.minusSeconds(300));

    assertThat(tree.ranges()).containsExactlyInAnyOrder(1, 2);
  }

  @Test
  void rangesComeFromTheNamespacesMaps() throws IOException {
    CgroupTree tree = hybrid();
    write("proc/uid_map", "         0        999          1\n         1    1000000     262144\n");
    write("proc/gid_map", "         0        995          1\n         1    1000000     196608\n");

    IdRanges ranges = IdRanges.ofThisProcess(tree, root.resolve("proc"));
    for (int i = 0; i < 3; i++) {
      assertThat(ranges.claim()).isEqualTo(i);
    }
    assertThatExceptionOfType(EngineException.class).isThrownBy(ranges::claim);
  }

  @Test
  void processOutsideANamespaceIsToldWhatToDo() throws IOException {
    CgroupTree tree = hybrid();
    write("proc/uid_map", "         0          0 4294967295\n");
    write("proc/gid_map", "         0          0 4294967295\n");

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> IdRanges.ofThisProcess(tree, root.resolve("proc")))
        .withMessageContainingAll("deploy/setup-host", "deploy/lib/in-namespace")
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));
  }

  @Test
  void namespaceWithoutSubordinateIdsIsToldWhatToDo() throws IOException {
    CgroupTree tree = hybrid();
    write("proc/uid_map", "         0       1000          1\n");
    write("proc/gid_map", "         0       1000          1\n");

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> IdRanges.ofThisProcess(tree, root.resolve("proc")))
        .withMessageContaining("deploy/setup-host");
  }
}
