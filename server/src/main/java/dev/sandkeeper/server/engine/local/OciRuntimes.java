package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The OCI runtimes of this machine, for the sandboxes of one state folder. */
final class OciRuntimes {

  private static final Logger logger = LoggerFactory.getLogger(OciRuntimes.class);

  private final List<OciRuntime> runtimes;

  /**
   * Knows them.
   *
   * @param programs what {@link #find} has found
   */
  OciRuntimes(List<Path> programs, StateFolder state) {
    runtimes = programs.stream().map(program -> new OciRuntime(program, state)).toList();
  }

  /**
   * Finds the programs, the default one first; of the others those that are installed.
   *
   * @throws EngineException {@code UNAVAILABLE} when the default one is not
   */
  static List<Path> find(LocalEngineSettings settings) {
    List<Path> found = new ArrayList<>();
    found.add(
        Programs.require(
            settings.runtime(),
            "the OCI runtime of the local engine; install it (for runc: 'sudo apt-get install"
                + " runc') or name another in the configuration"));
    for (String other : settings.otherRuntimes()) {
      Optional<Path> program = Programs.find(other);
      if (program.isEmpty()) {
        logger
            .atInfo()
            .addKeyValue("runtime", other)
            .log("An OCI runtime is not installed; templates cannot name it");
      } else if (found.stream().noneMatch(before -> name(before).equals(name(program.get())))) {
        found.add(program.get());
      }
    }
    return List.copyOf(found);
  }

  /** Returns the name by which templates know a program. */
  static String name(Path program) {
    return program.getFileName().toString();
  }

  /** Returns their names, the default first. */
  List<String> names() {
    return runtimes.stream().map(OciRuntime::name).toList();
  }

  /**
   * Returns one by its name, or the default.
   *
   * @throws EngineException {@code UNAVAILABLE} when it is not installed
   */
  OciRuntime of(Optional<String> name) {
    if (name.isEmpty()) {
      return runtimes.getFirst();
    }
    return runtimes.stream()
        .filter(runtime -> runtime.name().equals(name.get()))
        .findFirst()
        .orElseThrow(() ->
            new EngineException(
                EngineException.Kind.UNAVAILABLE,
                "the OCI runtime " + name.get() + " is not installed here"));
  }

  /** Removes what any of them keeps of a container whose processes are killed. */
  void delete(SandboxId id) {
    for (OciRuntime runtime : runtimes) {
      if (runtime.knows(id)) {
        runtime.delete(id);
      }
    }
  }
}
