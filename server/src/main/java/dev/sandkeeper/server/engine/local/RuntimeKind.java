package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.SandboxId;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** What sets OCI runtimes apart: how each is called, and what it leaves to the engine. */
enum RuntimeKind {

  /**
   * Runs programs on the host's kernel. Whatever is not known to be another kind is taken as it.
   */
  RUNC(
      "runtime",
      "ID",
      // Inside a user namespace a failure to set limits is ignored otherwise.
      "--rootless=false"),

  /** The same, written in C. Inside a user namespace it leaves programs outside their groups. */
  CRUN("runtime-crun", "ID", "--cgroup-manager=disabled"),

  /** gVisor: a kernel of its own in user space, which makes few calls to the host's. */
  RUNSC(
      "runtime-runsc",
      "ID_sandbox:ID.state",
      // By the socket in its folder the agent reaches the engine; it can make none there.
      "--ignore-cgroups --platform=ptrace --network=none --oci-seccomp --host-uds=open");

  private final String folder;
  private final String stateFile;
  private final String options;

  RuntimeKind(String folder, String stateFile, String options) {
    this.folder = folder;
    this.stateFile = stateFile;
    this.options = options;
  }

  /** Returns the kind that a program is by its file's name. */
  static RuntimeKind of(Path program) {
    return switch (program.getFileName().toString()) {
      case "crun" -> CRUN;
      case "runsc" -> RUNSC;
      default -> RUNC;
    };
  }

  /** Returns the options before every command, but for the folder. */
  List<String> options() {
    return List.of(options.split(" "));
  }

  /** Returns the folder below an engine's state in which it keeps what it knows. */
  String folder() {
    return folder;
  }

  /** Returns the options by which it finds a folder's {@code config.json}. */
  List<String> bundle(Path folder) {
    // crun enters the bundle for hooks as the sandbox's root, to whom the state folder is closed.
    return this == CRUN
        ? List.of("--bundle", "/", "--config", folder.resolve("config.json").toString())
        : List.of("--bundle", folder.toString());
  }

  /** Returns whether it makes the control groups; otherwise it is started inside them. */
  boolean makesGroups() {
    return this == RUNC;
  }

  /** Returns whether the programs meet gVisor's kernel in place of the host's. */
  boolean isGvisor() {
    return this == RUNSC;
  }

  /** Returns how many threads of the host one process of the sandbox may take. */
  int threadsPerProcess() {
    // Some of gVisor's own for each, which it does not live without.
    return this == RUNSC ? 16 : 1;
  }

  /** Returns whether it keeps anything of a sandbox in its folder. */
  boolean knows(Path folder, SandboxId id) {
    return Files.exists(folder.resolve(stateFile.replace("ID", id.value())));
  }
}
