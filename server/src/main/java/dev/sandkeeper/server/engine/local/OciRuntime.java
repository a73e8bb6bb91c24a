package dev.sandkeeper.server.engine.local;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigException;
import com.typesafe.config.ConfigFactory;
import com.typesafe.config.ConfigObject;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** The OCI runtime's command line. */
final class OciRuntime {

  /** Far more than any call takes; a runtime that hangs must not hang us. */
  private static final Duration TIMEOUT = Duration.ofSeconds(30);

  /** An empty file of a tmpfs takes about 1 KiB that its size limit does not count. */
  private static final long INODES_PER_MIB = 256;

  private static final long RETRY_NANOS = 2_000_000;

  private static final int MAX_MESSAGE_CHARS = 2_000;

  private final Path program;
  private final Path state;
  private final Path launcher;
  private final Path unshare;

  OciRuntime(Path program, Path state, Path launcher) {
    this.program = program;
    this.state = state;
    this.launcher = launcher;
    this.unshare = Programs.require("unshare", "it comes with the package util-linux");
  }

  /**
   * A container the runtime knows.
   *
   * @param id its sandbox
   * @param generation the sandbox's generation
   * @param range its id range
   * @param runs whether its process 1 is alive
   */
  record Container(SandboxId id, long generation, int range, boolean runs) {}

  /**
   * Starts a container; returns once its process 1 runs.
   *
   * @param id its name
   * @param folder with its {@code config.json} and the agent's link; gets a {@code launch.log}
   * @param skeleton what the root begins as
   * @param userId who owns the home, in this process's namespace
   * @param diskMib the most its root may hold
   * @throws EngineException {@code FAILED} with what the runtime said
   */
  void run(SandboxId id, Path folder, Path skeleton, long userId, int diskMib) {
    Path log = folder.resolve("launch.log");
    List<String> command =
        List.of(
            unshare.toString(),
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            launcher.toString(),
            Integer.toString(diskMib),
            Long.toString(diskMib * INODES_PER_MIB),
            Long.toString(userId),
            skeleton.toString(),
            folder.resolve("link").toString(),
            program.toString(),
            "--root",
            state.toString(),
            // Inside a user namespace a failure to set limits is ignored otherwise.
            "--rootless=false",
            "run",
            "--detach",
            "--bundle",
            folder.toString(),
            id.value());
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
            // A file, not a pipe: the agent keeps it open for as long as it lives.
            .redirectOutput(log.toFile());
    if (await(builder) != 0) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox could not be started: " + tail(log));
    }
  }

  /**
   * Removes what the runtime keeps of a container whose processes are killed. A process leaves its
   * control group a moment before it counts as dead, so the runtime may have to be asked again.
   */
  void delete(SandboxId id) {
    long limit = System.nanoTime() + TIMEOUT.toNanos();
    Captured captured = capture("delete", id.value());
    while (captured.exitCode() != 0 && knows(id)) {
      if (System.nanoTime() >= limit) {
        throw new EngineException(
            EngineException.Kind.FAILED,
            "the sandbox could not be removed: " + captured.text().strip());
      }
      LockSupport.parkNanos(RETRY_NANOS);
      captured = capture("delete", id.value());
    }
  }

  /** Returns whether the runtime keeps anything of a container. */
  boolean knows(SandboxId id) {
    return Files.exists(state.resolve(id.value()));
  }

  /**
   * Returns every container under this engine's state.
   *
   * @throws EngineException {@code UNAVAILABLE} when the runtime does not tell
   */
  List<Container> list() {
    Captured captured = capture("list", "--format", "json");
    if (captured.exitCode() != 0) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, program + " cannot list what runs: " + captured.text());
    }
    try {
      List<Container> containers = new ArrayList<>();
      // The list is one line, and null when empty. Before it there may be warnings of containers
      // that vanished while they were looked at.
      String text = captured.text().strip();
      String list = text.substring(text.lastIndexOf('\n') + 1);
      Config wrapped = ConfigFactory.parseString("{\"list\":" + list + "}");
      if (wrapped.getIsNull("list")) {
        return containers;
      }
      for (var value : wrapped.getList("list")) {
        container(((ConfigObject) value).toConfig()).ifPresent(containers::add);
      }
      return containers;
    } catch (ConfigException | ClassCastException | IllegalArgumentException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, program + " lists what runs in an unknown form", e);
    }
  }

  private static Optional<Container> container(Config entry) {
    String name = entry.getString("id");
    if (!entry.hasPath("annotations")) {
      return Optional.empty();
    }
    ConfigObject annotations = entry.getObject("annotations");
    var generation = annotations.get(OciConfig.GENERATION);
    var range = annotations.get(OciConfig.RANGE);
    if (generation == null || range == null) {
      return Optional.empty();
    }
    return Optional.of(
        new Container(
            new SandboxId(name),
            Long.parseLong(generation.unwrapped().toString()),
            Integer.parseInt(range.unwrapped().toString()),
            !entry.getString("status").equals("stopped")));
  }

  private record Captured(int exitCode, String text) {}

  private Captured capture(String... arguments) {
    List<String> command = new ArrayList<>(List.of(program.toString(), "--root", state.toString()));
    command.addAll(List.of(arguments));
    Path output = null;
    try {
      output = Files.createTempFile(state.getParent(), "runtime-", ".out");
      int code =
          await(
              new ProcessBuilder(command)
                  .redirectErrorStream(true)
                  .redirectOutput(output.toFile()));
      return new Captured(code, Files.readString(output));
    } catch (IOException e) {
      throw new EngineException(EngineException.Kind.UNAVAILABLE, "cannot run " + program, e);
    } finally {
      deleteQuietly(output);
    }
  }

  private static void deleteQuietly(@org.jspecify.annotations.Nullable Path file) {
    if (file != null) {
      try {
        Files.deleteIfExists(file);
      } catch (IOException e) {
        // The next start of the engine clears the folder.
        return;
      }
    }
  }

  private int await(ProcessBuilder builder) {
    try {
      Process process = builder.start();
      if (!process.waitFor(TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)) {
        process.destroyForcibly();
        throw new EngineException(
            EngineException.Kind.FAILED, program + " did not answer within " + TIMEOUT);
      }
      return process.exitValue();
    } catch (IOException e) {
      throw new EngineException(EngineException.Kind.UNAVAILABLE, "cannot run " + program, e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new EngineException(EngineException.Kind.FAILED, "interrupted", e);
    }
  }

  /** Returns the end of a log, on one line. */
  static String tail(Path log) {
    try {
      byte[] bytes = Files.readAllBytes(log);
      String text = new String(bytes, StandardCharsets.UTF_8).strip().replaceAll("\\s+", " ");
      return text.length() <= MAX_MESSAGE_CHARS
          ? text
          : text.substring(text.length() - MAX_MESSAGE_CHARS);
    } catch (IOException e) {
      return "(no log)";
    }
  }
}
