package dev.sandkeeper.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;

/**
 * A container that {@code runc} runs without a server: the raw primitive.
 *
 * <p>Its configuration is that of a sandbox of the server, so both have the same namespaces, id
 * range, mounts, control groups, limits and system call filter. It differs in its name, in its root
 * folder, which is there already and is not memory, and in its process, which has no capabilities.
 * In the one that lives on, root is this process's own user: version 1 control groups let an
 * ordinary user move a further process in only while it has that user's id.
 */
final class RawContainer {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int USER_ID = 1000;
  private static final String NAME = "bench-raw";
  private static final String ONE_OFF = "bench-raw-once";

  private final Path folder;
  private boolean started;

  private RawContainer(Path folder) {
    this.folder = folder;
  }

  /** Makes the bundles; nothing runs yet. */
  static RawContainer like(String sandboxId, Path data) throws IOException, InterruptedException {
    Path engine = data.resolve("engine");
    // Where the container's root, an ordinary user outside, may pass: the data folder is closed.
    Path folder =
        Files.createTempDirectory(
            "sandkeeper-bench",
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwxr-xr-x")));
    RawContainer container = new RawContainer(folder);
    container.run("cp", "-a", engine.resolve("skeleton").toString(), container.root().toString());
    Path config = engine.resolve("s").resolve(sandboxId).resolve("config.json");
    mapRootToThisUser(container.writeBundle(config, NAME, "sleep", "infinity"));
    container.writeBundle(config, ONE_OFF, "true");
    return container;
  }

  /** Starts the process that keeps the container. */
  void start() throws IOException, InterruptedException {
    started = true;
    runc("run", "--detach", "--bundle", folder.resolve(NAME).toString(), NAME);
  }

  /** Runs {@code true} in the container, as a further process. */
  void execTrue() throws IOException, InterruptedException {
    runc("exec", NAME, "true");
  }

  /** Makes a second container that runs {@code true}, and removes it. */
  void runTrue() throws IOException, InterruptedException {
    runc("run", "--bundle", folder.resolve(ONE_OFF).toString(), ONE_OFF);
  }

  /** Ends and removes everything. */
  void remove() throws IOException, InterruptedException {
    if (started) {
      runc("delete", "--force", NAME);
    }
    Programs.run(Path.of("/dev/null"), List.of("rm", "-rf", "--", folder.toString()));
  }

  private Path root() {
    return folder.resolve("root");
  }

  private Path writeBundle(Path sandboxConfig, String name, String... arguments)
      throws IOException {
    ObjectNode config = (ObjectNode) JSON.readTree(sandboxConfig.toFile());
    config.withObject("/root").put("path", root().toString());
    ObjectNode process = config.withObject("/process");
    process.set("args", JSON.valueToTree(arguments));
    process.withObject("/user").put("uid", USER_ID).put("gid", USER_ID);
    process.remove("capabilities");
    ObjectNode linux = config.withObject("/linux");
    Path cgroup = Path.of(linux.required("cgroupsPath").textValue());
    linux.put("cgroupsPath", cgroup.resolveSibling(name).toString());
    Path bundle = Files.createDirectory(folder.resolve(name));
    Path file = bundle.resolve("config.json");
    JSON.writeValue(file.toFile(), config);
    return file;
  }

  private static void mapRootToThisUser(Path file) throws IOException {
    ObjectNode config = (ObjectNode) JSON.readTree(file.toFile());
    for (String kind : List.of("uidMappings", "gidMappings")) {
      ArrayNode mappings = config.withArray("/linux/" + kind);
      ObjectNode others = (ObjectNode) mappings.required(0);
      others.put("containerID", 1);
      others.put("hostID", others.required("hostID").longValue() + 1);
      others.put("size", others.required("size").longValue() - 1);
      mappings.addObject().put("containerID", 0).put("hostID", 0).put("size", 1);
    }
    JSON.writeValue(file.toFile(), config);
  }

  private void runc(String... arguments) throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(
            List.of("runc", "--root", folder.resolve("state").toString(), "--rootless=false"));
    command.addAll(List.of(arguments));
    run(command.toArray(String[]::new));
  }

  private void run(String... command) throws IOException, InterruptedException {
    Programs.run(folder.resolve("log"), List.of(command));
  }
}
