package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.RunningServer;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineFiles.FileWriter;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.SandboxSpec;
import dev.sandkeeper.server.engine.guest.Guest;
import java.io.BufferedReader;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * Looks at the host, its server and a neighbour while a sandbox attacks: what the attack says of
 * itself counts for little.
 */
final class HostWatch implements AutoCloseable {

  /** What an attack would change to have the kernel, or root, do something for it. */
  private static final List<String> KERNEL_SETTINGS =
      List.of(
          "kernel/core_pattern",
          "kernel/modprobe",
          "kernel/hostname",
          "kernel/hotplug",
          "kernel/poweroff_cmd",
          "vm/overcommit_memory",
          "net/ipv4/ip_forward",
          "fs/protected_symlinks");

  /** Beyond the limit the kernel gives some pages to those it ends, that they end. */
  private static final long OF_THE_DYING = 1 << 20;

  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final String SECRET_FILE = "secret";

  private final Path folder;
  private final RunningServer server;
  private final EngineFixture fixture;
  private final CgroupTree tree;
  private final IdRanges ranges;
  private final EngineSandbox neighbour;
  private final String neighbourSecret = EngineFixture.name();
  private final Recording neighbourBait = new Recording();
  private final Process bait;
  private final List<String> reached = new CopyOnWriteArrayList<>();
  private final Map<String, String> hints = new HashMap<>();
  private final List<String> secrets = new ArrayList<>();
  private final Map<String, String> before;
  private final HttpClient http = HttpClient.newHttpClient();

  HostWatch(EngineFixture fixture, RunningServer server) throws Exception {
    this.fixture = fixture;
    this.server = server;
    folder = Files.createTempDirectory("host");
    tree = CgroupTree.detect(fixture.settings().cgroupRoot(), fixture.settings().cgroupParent());
    ranges = IdRanges.ofThisProcess(tree, Path.of("/proc/self"));
    neighbour = fixture.create();
    bait = layBait();
    settleNeighbour();
    tellOfServer();
    before = facts();
  }

  /** A file, a port and a name of the host, each with a secret to get. */
  private Process layBait() throws IOException {
    String secret = EngineFixture.name();
    String name = "bait-" + EngineFixture.name();
    secrets.add(secret);
    Path file = Files.writeString(folder.resolve("canary"), secret);
    Process process =
        new ProcessBuilder("python3", tool("bait.py").toString(), secret, name)
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    BufferedReader lines = process.inputReader(StandardCharsets.UTF_8);
    hint("PORT", lines.readLine().split(" ", -1)[0]);
    Thread.ofVirtual().start(() -> lines.lines().forEach(reached::add));
    hint("NAME", name);
    hint("FILE", file.toString());
    hint("PID", Long.toString(ProcessHandle.current().pid()));
    return process;
  }

  /** The same in a neighbour. */
  private void settleNeighbour() throws Exception {
    secrets.add(neighbourSecret);
    upload(neighbour, "bait.py", Files.readAllBytes(tool("bait.py")));
    upload(neighbour, "neighbour.py", Files.readAllBytes(tool("neighbour.py")));
    upload(neighbour, SECRET_FILE, neighbourSecret.getBytes(StandardCharsets.UTF_8));
    String name = "bait-" + EngineFixture.name();
    EngineExecution ignored =
        neighbour.start(
            EngineFixture.command(
                Duration.ofMinutes(10), "python3", "bait.py", neighbourSecret, name),
            neighbourBait);
    await().atMost(PATIENCE).until(() -> neighbourBait.stdout().contains("\n"));
    hint("NEIGHBOUR_PORT", neighbourBait.stdout().split(" ", -1)[0]);
    hint("NEIGHBOUR_NAME", name);
    hint(
        "NEIGHBOUR_SOCKET",
        new StateFolder(fixture.settings().stateFolder())
            .sandbox(neighbour.id())
            .resolve("link/engine.sock")
            .toString());
  }

  private void tellOfServer() throws IOException {
    Path key = server.dataFolder().resolve("admin-key");
    Map<String, String> database = server.database().environment();
    String url = Objects.requireNonNull(database.get("SANDKEEPER_DATABASE_URL"));
    secrets.add(Files.readString(key).strip());
    secrets.add(Objects.requireNonNull(database.get("SANDKEEPER_DATABASE_SERVER_PASSWORD")));
    hint("SERVER_PORT", Integer.toString(server.port()));
    hint("SERVER_DATA", server.dataFolder().toString());
    hint("SERVER_KEY", key.toString());
    hint("DATABASE_PORT", Integer.toString(URI.create(url.substring("jdbc:".length())).getPort()));
    hint(
        "DATABASE_FOLDER",
        Path.of(System.getProperty("sandkeeper.test.data", "target/test-data"))
            .toAbsolutePath()
            .toString());
  }

  private void hint(String name, String value) {
    hints.put("HOST_" + name, value);
  }

  /** Returns what an attack is told of the host, as variables of its environment. */
  Map<String, String> hints() {
    return hints;
  }

  static Path tool(String name) {
    return Attack.folder().resolve("tools").resolve(name);
  }

  static void upload(EngineSandbox sandbox, String path, byte[] content) {
    try (FileWriter writer = sandbox.files().write(path, content.length)) {
      writer.append(ByteBuffer.wrap(content));
      var _ = writer.commit();
    }
  }

  /** Fails where a secret is in what came out of a sandbox. */
  void assertNoSecret(String text) {
    for (String secret : secrets) {
      assertThat(text.contains(secret)).as("a secret came out").isFalse();
    }
  }

  /** Fails when the neighbour does not answer, or was reached. */
  void assertNeighbourAnswers() throws Exception {
    neighbour.renew(Duration.ofMinutes(5));
    Recording recording =
        EngineFixture.run(neighbour, EngineFixture.command(PATIENCE, "cat", SECRET_FILE));
    assertThat(recording.stdout()).as("what the neighbour has").isEqualTo(neighbourSecret);
    assertThat(neighbourBait.isFinished()).as("the neighbour's program ended").isFalse();
    assertThat(neighbourBait.stdout().lines()).as("callers of the neighbour's").hasSize(1);
  }

  /** Fails when the neighbour cannot work, with a little of everything that is shared. */
  void assertNeighbourWorks() throws Exception {
    String nonce = EngineFixture.name();
    Recording recording =
        EngineFixture.run(
            neighbour,
            EngineFixture.command(PATIENCE, "python3", "neighbour.py", neighbourSecret, nonce));
    assertThat(recording.stdout() + recording.stderr())
        .as("what the neighbour does")
        .isEqualTo("well " + nonce + "\n");
  }

  /** Fails when something of the host has changed, or anybody came to its bait. */
  void assertHostIsWell() throws Exception {
    assertThat(facts()).as("the host").isEqualTo(before);
    assertThat(reached).as("callers of the host's").isEmpty();
    assertThat(bait.isAlive()).as("a program of the host's lives").isTrue();
    HttpRequest health =
        HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + server.port() + "/health")).build();
    assertThat(http.send(health, HttpResponse.BodyHandlers.discarding()).statusCode())
        .as("the server's health")
        .isEqualTo(200);
  }

  /**
   * Fails when a process with an id of the sandbox's is outside its group, or the group has more
   * than it may.
   */
  void assertContained(EngineSandbox sandbox, SandboxSpec spec) throws IOException {
    int range = tree.rangeOf(sandbox.id()).orElseThrow();
    Cgroup cgroup = tree.sandbox(range, sandbox.id());
    assertThat(strays(range, cgroup)).as("processes outside the group").isEmpty();
    assertThat(cgroup.processes().size())
        .isLessThanOrEqualTo(spec.maxProcesses() + Guest.AGENT_PROCESSES);
    assertThat(cgroup.peakMemoryBytes().orElse(0))
        .isLessThanOrEqualTo(spec.memoryBytes() + OF_THE_DYING);
  }

  /** Returns the processes of a sandbox. */
  List<Long> processes(EngineSandbox sandbox) {
    return tree.sandbox(rangeOf(sandbox), sandbox.id()).processes();
  }

  /** Returns the range of a sandbox that lives, to be looked at when it is gone. */
  int rangeOf(EngineSandbox sandbox) {
    return tree.rangeOf(sandbox.id()).orElseThrow();
  }

  /** Fails when anything is left of a sandbox that has ended. */
  void assertGone(SandboxId id, int range) throws IOException {
    assertThat(tree.rangeOf(id)).as("its group").isEmpty();
    assertThat(strays(range, tree.sandbox(range, id))).as("its processes").isEmpty();
    assertThat(new StateFolder(fixture.settings().stateFolder()).sandbox(id)).doesNotExist();
  }

  /** Processes with ids of a range that are not in its sandbox's group. */
  private List<Long> strays(int range, Cgroup cgroup) throws IOException {
    Set<Long> found = processesOf(range);
    found.removeAll(cgroup.processes());
    if (!found.isEmpty()) {
      // Those that began or ended between the two looks.
      found.removeAll(cgroup.processes());
      found.retainAll(processesOf(range));
    }
    return List.copyOf(found);
  }

  private Set<Long> processesOf(int range) throws IOException {
    long first = ranges.firstId(range);
    Set<Long> found = new HashSet<>();
    try (DirectoryStream<Path> folders = Files.newDirectoryStream(Path.of("/proc"), "[0-9]*")) {
      for (Path process : folders) {
        long uid = userOf(process);
        if (uid >= first && uid < first + IdRanges.SIZE) {
          found.add(Long.valueOf(process.getFileName().toString()));
        }
      }
    }
    return found;
  }

  /** Returns a process's user id, -1 when it has just ended or is dead. */
  private static long userOf(Path process) {
    try {
      Map<String, String> status = new HashMap<>();
      for (String line : Files.readAllLines(process.resolve("status"))) {
        int colon = line.indexOf(':');
        status.put(line.substring(0, colon), line.substring(colon + 1).strip());
      }
      boolean dead = status.getOrDefault("State", "").startsWith("Z");
      return dead ? -1 : Long.parseLong(status.getOrDefault("Uid", "-1").split("\\s", -1)[0]);
    } catch (IOException e) {
      return -1;
    }
  }

  /** Returns what must not change. */
  private Map<String, String> facts() throws IOException {
    Map<String, String> facts = new LinkedHashMap<>();
    for (String setting : KERNEL_SETTINGS) {
      facts.put(setting, CgroupFiles.text(Path.of("/proc/sys").resolve(setting)).orElse(""));
    }
    facts.put("mounts", Files.readString(Path.of("/proc/self/mounts")));
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
      for (Path file : files) {
        facts.put(file.toString(), describe(file) + Files.readString(file));
      }
    }
    Path runtime = Programs.require(fixture.settings().runtime(), "");
    for (Path file : List.of(runtime, Path.of("/usr/bin/python3"), Path.of("/etc/passwd"))) {
      facts.put(file.toString(), describe(file.toRealPath()));
    }
    return facts;
  }

  private static String describe(Path file) throws IOException {
    return Files.readAttributes(file, "unix:size,ino,mode,uid,lastModifiedTime,ctime").toString();
  }

  @Override
  public void close() throws IOException {
    bait.destroy();
    http.close();
    FileTrees.delete(folder);
  }
}
