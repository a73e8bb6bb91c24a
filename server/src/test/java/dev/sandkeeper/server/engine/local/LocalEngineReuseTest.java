package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.Recording;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Executions one after the other over the same supervisors and connections: nothing piles up, and
 * nothing of one reaches the next.
 */
class LocalEngineReuseTest {

  private static final Duration LONG = Duration.ofSeconds(30);
  private static final int SIGKILL = 9;

  /** The agent, and two supervisors that wait for a command, each with its launcher. */
  private static final int PROCESSES_AT_REST = 5;

  private EngineFixture fixture;
  private EngineSandbox sandbox;

  @BeforeEach
  void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
  }

  @AfterEach
  void destroy() throws Exception {
    fixture.close();
  }

  private Recording bash(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.bash(source));
  }

  private EngineExecution start(Recording recording, String... argv) {
    return sandbox.start(EngineFixture.command(LONG, argv), recording);
  }

  /** Runs commands until those that wait for the next are as many as they will be. */
  private void warmUp() throws Exception {
    await()
        .until(() -> {
          bash("true");
          return processes().size() == PROCESSES_AT_REST;
        });
  }

  private Set<Long> processes() {
    CgroupTree tree =
        CgroupTree.detect(fixture.settings().cgroupRoot(), fixture.settings().cgroupParent());
    int range = tree.rangeOf(sandbox.id()).orElseThrow();
    return Set.copyOf(tree.sandbox(range, sandbox.id()).processes());
  }

  private static long descriptors(Iterable<Long> processes) throws IOException {
    long count = 0;
    for (long pid : processes) {
      try (Stream<Path> files = Files.list(Path.of("/proc/" + pid + "/fd"))) {
        count += files.count();
      }
    }
    return count;
  }

  private static long residentKib(Iterable<Long> processes) throws IOException {
    long sum = 0;
    for (long pid : processes) {
      for (String line : Files.readAllLines(Path.of("/proc/" + pid + "/status"))) {
        if (line.startsWith("RssAnon:")) {
          sum += Long.parseLong(line.replaceAll("\\D", ""));
        }
      }
    }
    return sum;
  }

  @Test
  void manyCommandsTakeNoMoreProcessesDescriptorsOrMemory() throws Exception {
    warmUp();
    for (int i = 0; i < 50; i++) {
      bash("true");
    }
    Set<Long> before = processes();
    long descriptors = descriptors(before);
    long ours = descriptors(List.of(ProcessHandle.current().pid()));
    long memory = residentKib(before);

    for (int i = 0; i < 400; i++) {
      assertThat(bash("echo " + i + "; exit " + i % 7).await().exitCode()).hasValue(i % 7);
    }

    assertThat(processes()).isEqualTo(before);
    assertThat(descriptors(before)).isEqualTo(descriptors);
    assertThat(descriptors(List.of(ProcessHandle.current().pid()))).isLessThanOrEqualTo(ours + 5);
    assertThat(residentKib(before)).isLessThan(memory + 512);
  }

  @Test
  void manyCellsTakeNoMoreProcessesOrDescriptors() throws Exception {
    for (int i = 0; i < 5; i++) {
      EngineFixture.run(sandbox, EngineFixture.python("n = 0"));
    }
    Set<Long> before = processes();
    long descriptors = descriptors(before);

    for (int i = 0; i < 200; i++) {
      EngineFixture.run(sandbox, EngineFixture.python("n += 1"));
    }

    assertThat(EngineFixture.run(sandbox, EngineFixture.python("n")).results())
        .containsEntry("text/plain", "200");
    assertThat(processes()).isEqualTo(before);
    assertThat(descriptors(before)).isEqualTo(descriptors);
  }

  @Test
  void moreAtOnceThanWaitAllRunAndLeaveOnlyTheUsual() throws Exception {
    for (int round = 0; round < 3; round++) {
      List<Recording> recordings = new ArrayList<>();
      for (int i = 0; i < 20; i++) {
        Recording recording = new Recording();
        EngineExecution ignored = start(recording, "bash", "-c", "sleep 0.2; echo " + i);
        recordings.add(recording);
      }
      for (int i = 0; i < recordings.size(); i++) {
        ExecutionEnd end = recordings.get(i).await();
        assertThat(end.exitCode()).as("of %s with %s", end, recordings.get(i).errors()).hasValue(0);
        assertThat(recordings.get(i).stdout()).isEqualTo(i + "\n");
      }
    }
    await().until(() -> processes().size() <= PROCESSES_AT_REST);
  }

  @Test
  void lateSignalNeverReachesTheNextExecution() throws Exception {
    warmUp();
    for (int i = 0; i < 100; i++) {
      Recording first = new Recording();
      EngineExecution ended = start(first, "true");
      Thread late =
          Thread.ofPlatform()
              .start(() -> {
                while (!first.isFinished()) {
                  ended.signal(SIGKILL);
                }
                ended.signal(SIGKILL);
              });
      first.await();
      Recording second = new Recording();
      EngineExecution ignored = start(second, "bash", "-c", "sleep 0.005; exit 7");
      ended.signal(SIGKILL);
      assertThat(second.await().exitCode()).hasValue(7);
      late.join();
    }
  }

  @Test
  void killOfOneLeavesTheDaemonsOfAnother() throws Exception {
    bash("(setsid sleep 310 &)");
    Recording recording = new Recording();
    EngineExecution execution = start(recording, "sleep", "311");
    recording.awaitStarted();
    execution.signal(SIGKILL);
    assertThat(recording.await().signal()).hasValue(SIGKILL);

    assertThat(bash("pgrep -cx sleep").stdout()).isEqualTo("1\n");
  }

  @Test
  void killOfACommandLeavesWhatStartsTheNext() throws Exception {
    warmUp();
    Set<Long> before = processes();
    for (int i = 0; i < 5; i++) {
      Recording recording = new Recording();
      EngineExecution execution = start(recording, "sleep", "312");
      recording.awaitStarted();
      execution.signal(SIGKILL);
      assertThat(recording.await().signal()).hasValue(SIGKILL);
    }
    assertThat(processes()).isEqualTo(before);
  }

  @Test
  void largeInputAndLargeProgramsAreNotTakenForTheNextOnes() throws Exception {
    ExecutionSpec.Command count = new ExecutionSpec.Command(List.of("wc", "-c"));
    for (int i = 0; i < 3; i++) {
      ExecutionSpec large = EngineFixture.of(count, LONG, "x".repeat(20_000_000));
      assertThat(EngineFixture.run(sandbox, large).stdout()).isEqualTo("20000000\n");
      bash("head -c 60M /dev/zero | tail -c 60M >/dev/null");
    }
    for (int i = 0; i < 3; i++) {
      Recording small =
          EngineFixture.run(
              sandbox, EngineFixture.command(LONG, "python3", "-c", "x = b'x' * 20000000"));
      assertThat(small.await().peakMemoryBytes().getAsLong()).isBetween(20L << 20, 45L << 20);
      assertThat(bash("true").await().peakMemoryBytes().orElse(0)).isLessThan(15L << 20);
    }
  }

  @Test
  void limitOfProcessesIsWhatACommandGets() throws Exception {
    String fill =
        """
        import os, signal, time
        n = 1
        while True:
            try:
                pid = os.fork()
            except BlockingIOError:
                break
            if pid == 0:
                signal.pause()
            n += 1
        print(n)
        os.killpg(0, signal.SIGKILL)
        """;
    warmUp();
    for (int i = 0; i < 3; i++) {
      Recording recording =
          EngineFixture.run(sandbox, EngineFixture.command(LONG, "python3", "-uc", fill));
      assertThat(recording.stdout()).isEqualTo("64\n");
      assertThat(recording.await().reason()).isEqualTo(Reason.SIGNALED);
    }
  }
}
