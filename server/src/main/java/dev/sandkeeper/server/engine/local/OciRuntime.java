package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/** The command line of an OCI runtime. */
final class OciRuntime {

  /** Far more than any call takes; a runtime that hangs must not hang us. */
  private static final Duration TIMEOUT = Duration.ofSeconds(30);

  /** An empty file of a tmpfs takes about 1 KiB that its size limit does not count. */
  private static final long INODES_PER_MIB = 256;

  private static final long RETRY_NANOS = 2_000_000;

  private static final int MAX_MESSAGE_CHARS = 2_000;

  private final Path program;
  private final RuntimeKind kind;
  private final Path state;
  private final Path launcher;
  private final Path unshare;

  /**
   * Knows a runtime.
   *
   * @param program where it is
   * @param state of the engine whose sandboxes it runs
   */
  OciRuntime(Path program, StateFolder state) {
    this.program = program;
    this.kind = RuntimeKind.of(program);
    this.state = state.runtime(kind);
    this.launcher = state.launcher();
    this.unshare = Programs.require("unshare", "it comes with the package util-linux");
  }

  String name() {
    return OciRuntimes.name(program);
  }

  RuntimeKind kind() {
    return kind;
  }

  /**
   * Starts a container; returns once its process 1 runs.
   *
   * @param id its name
   * @param folder with its {@code config.json} and the agent's link; gets a {@code launch.log}
   * @param skeleton what the root begins as
   * @param userId who owns the home, in this process's namespace
   * @param diskMib the most its root may hold
   * @param groups the files by which it enters its control groups, where the runtime does not make
   *     them
   * @throws EngineException {@code FAILED} with what the runtime said
   */
  void run(SandboxId id, Path folder, Path skeleton, long userId, int diskMib, List<Path> groups) {
    Path log = folder.resolve("launch.log");
    List<String> command = new ArrayList<>();
    command.addAll(
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
            folder.resolve("link").toString()));
    groups.forEach(group -> command.add(group.toString()));
    command.add("--");
    command.addAll(call("run", "--detach"));
    command.addAll(kind.bundle(folder));
    command.add(id.value());
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
    return kind.knows(state, id);
  }

  private record Captured(int exitCode, String text) {}

  private List<String> call(String... arguments) {
    List<String> command = new ArrayList<>(List.of(program.toString(), "--root", state.toString()));
    command.addAll(kind.options());
    command.addAll(List.of(arguments));
    return command;
  }

  private Captured capture(String... arguments) {
    Path output = null;
    try {
      output = Files.createTempFile(state.getParent(), "runtime-", ".out");
      int code =
          await(
              new ProcessBuilder(call(arguments))
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
