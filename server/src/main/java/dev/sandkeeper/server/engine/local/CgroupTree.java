package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The part of the machine's control groups that is handed over to this user.
 *
 * <p>A sandbox's group lies below a folder {@code range-N} for the id range it holds. Making that
 * folder is what claims the range: the kernel makes it once only, whichever server asks, and a
 * reboot that ends all sandboxes takes all claims along.
 */
final class CgroupTree {

  private static final Logger logger = LoggerFactory.getLogger(CgroupTree.class);

  private static final String RANGE = "range-";

  private final Path root;
  private final String parent;
  private final boolean unified;

  private CgroupTree(Path root, String parent, boolean unified) {
    this.root = root;
    this.parent = parent;
    this.unified = unified;
  }

  /**
   * Looks at what is mounted and handed over.
   *
   * @throws EngineException {@code UNAVAILABLE} when the folder is not there for us to use
   */
  static CgroupTree detect(Path root, String parent) {
    CgroupTree tree =
        new CgroupTree(root, parent, Files.exists(root.resolve("cgroup.controllers")));
    for (Path folder : tree.parents()) {
      if (!Files.isWritable(folder)) {
        throw new EngineException(
            EngineException.Kind.UNAVAILABLE,
            "the control group " + folder + " is not there or not ours; " + SetUp.HOW);
      }
    }
    return tree;
  }

  /** Returns whether this is the one tree of version 2. */
  boolean unified() {
    return unified;
  }

  /** Returns whether a sandbox can be kept from swapping. */
  boolean limitsSwap() {
    return unified
        ? Files.exists(root.resolve(parent).resolve("memory.swap.max"))
        : Files.exists(
            root.resolve("memory").resolve(parent).resolve("memory.memsw.limit_in_bytes"));
  }

  /** Returns the path a runtime is told, the same in each hierarchy. */
  String pathOf(int range, SandboxId id) {
    return "/" + parent + "/" + RANGE + range + "/" + id.value();
  }

  /** Returns the group of a sandbox, whether it exists or not. */
  Cgroup sandbox(int range, SandboxId id) {
    String path = pathOf(range, id).substring(1);
    return unified ? new CgroupV2(root.resolve(path)) : new CgroupV1(root, path);
  }

  /** Returns the range a sandbox's group lies in. */
  OptionalInt rangeOf(SandboxId id) {
    for (int range : ranges()) {
      if (Files.exists(claims().resolve(RANGE + range).resolve(id.value()))) {
        return OptionalInt.of(range);
      }
    }
    return OptionalInt.empty();
  }

  /** Claims a range; false when somebody holds it. */
  boolean claim(int range) {
    Path folder = claims().resolve(RANGE + range);
    if (Files.exists(folder)) {
      return false;
    }
    try {
      Files.createDirectory(folder);
      return true;
    } catch (java.nio.file.FileAlreadyExistsException e) {
      return false;
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "cannot make the control group " + folder, e);
    }
  }

  /** Gives a range back, with a sandbox's group in it if one was left. */
  void release(int range, Optional<SandboxId> id) {
    for (Path folder : parents()) {
      Path claimed = folder.resolve(RANGE + range);
      id.ifPresent(sandbox -> removeFolder(claimed.resolve(sandbox.value())));
      removeFolder(claimed);
    }
  }

  /**
   * Gives back ranges in which nothing was started: a server that is killed between the two leaves
   * such a claim.
   *
   * @param before claims made later may still be on their way
   */
  void releaseForgotten(Instant before) {
    for (int range : ranges()) {
      Path folder = claims().resolve(RANGE + range);
      try (Stream<Path> entries = Files.list(folder)) {
        boolean old = Files.getLastModifiedTime(folder).toInstant().isBefore(before);
        if (old && entries.noneMatch(Files::isDirectory)) {
          release(range, Optional.empty());
        }
      } catch (IOException e) {
        // Given back meanwhile by who holds it.
        logger.atDebug().addKeyValue("range", range).log("A claim went while it was looked at");
      }
    }
  }

  /** Returns the ranges that are claimed now. */
  List<Integer> ranges() {
    List<Integer> found = new ArrayList<>();
    try (DirectoryStream<Path> folders = Files.newDirectoryStream(claims(), RANGE + "*")) {
      for (Path folder : folders) {
        found.add(Integer.valueOf(folder.getFileName().toString().substring(RANGE.length())));
      }
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "cannot read the control group " + claims(), e);
    }
    return found;
  }

  /**
   * Returns the kernel's number of the folder of ranges: until the machine is started anew, no
   * other folder has it.
   */
  long number() throws IOException {
    return ((Number) Files.getAttribute(claims(), "unix:ino")).longValue();
  }

  private Path claims() {
    return unified ? root.resolve(parent) : root.resolve("pids").resolve(parent);
  }

  /** Our folder in each hierarchy that is in use. */
  private List<Path> parents() {
    if (unified) {
      return List.of(root.resolve(parent));
    }
    List<Path> folders = new ArrayList<>();
    for (String required : CgroupV1.REQUIRED) {
      folders.add(root.resolve(required).resolve(parent));
    }
    for (String other : CgroupV1.OTHERS) {
      if (Files.exists(root.resolve(other))) {
        folders.add(root.resolve(other).resolve(parent));
      }
    }
    return folders;
  }

  /** Removes a group that may not exist or, in a joined hierarchy, be gone already. */
  private static void removeFolder(Path folder) {
    try {
      Files.deleteIfExists(folder);
    } catch (IOException e) {
      // Still in use in this hierarchy: it goes when its range is given back the next time.
      return;
    }
  }
}
