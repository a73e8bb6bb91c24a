package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.SandboxId;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * What is where in an engine's state folder: in one's own, and in that of another engine on this
 * machine, which may be of an earlier version. So nothing here is ever moved.
 *
 * @param path the folder
 */
record StateFolder(Path path) {

  /** Returns the file whose lock says that an engine holds the folder. */
  Path lock() {
    return path.resolve("lock");
  }

  /** Returns the folder in which OCI runtimes of a kind keep what they know. */
  Path runtime(RuntimeKind kind) {
    return path.resolve(kind.folder());
  }

  /** Returns whether any runtime keeps something of a sandbox, also one that is not there now. */
  boolean started(SandboxId id) {
    return Arrays.stream(RuntimeKind.values()).anyMatch(kind -> kind.knows(runtime(kind), id));
  }

  /** Returns the program by which the runtime is started. */
  Path launcher() {
    return path.resolve("launch.sh");
  }

  /** Returns the folder of the sandboxes' folders; short, as sockets lie below it. */
  Path sandboxes() {
    return path.resolve("s");
  }

  /** Returns a sandbox's folder. */
  Path sandbox(SandboxId id) {
    return sandboxes().resolve(id.value());
  }

  /** Returns the file by which an OCI runtime starts a sandbox. */
  Path config(SandboxId id) {
    return sandbox(id).resolve("config.json");
  }

  /** Returns the file in which a sandbox's meter keeps its reading. */
  Path meter(SandboxId id) {
    return sandbox(id).resolve("meter");
  }

  /** Returns the file in which the contexts stand that were created in a sandbox. */
  Path contexts(SandboxId id) {
    return sandbox(id).resolve("contexts");
  }
}
