package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The user and group ids that sandboxes get, a range of 65,536 for each alone: two sandboxes that
 * shared ids would share limits that the kernel keeps per user.
 */
final class IdRanges {

  /** Ids of one range. */
  static final int SIZE = 65_536;

  private final CgroupTree tree;
  private final long first;
  private final int count;
  private final AtomicInteger next = new AtomicInteger();

  IdRanges(CgroupTree tree, long first, int count) {
    this.tree = tree;
    this.first = first;
    this.count = count;
  }

  /**
   * Finds the ids that are mapped into this process's user namespace.
   *
   * @param proc the folder of this process in {@code /proc}
   * @throws EngineException {@code UNAVAILABLE} when this is no namespace of our own
   */
  static IdRanges ofThisProcess(CgroupTree tree, Path proc) {
    long[] uids = largest(proc.resolve("uid_map"));
    long[] gids = largest(proc.resolve("gid_map"));
    long first = Math.max(uids[0], gids[0]);
    long end = Math.min(uids[0] + uids[1], gids[0] + gids[1]);
    long count = (end - first) / SIZE;
    if (count < 1) {
      throw notPrepared();
    }
    return new IdRanges(tree, first, (int) Math.min(count, 1 << 16));
  }

  /**
   * Takes a range that nobody else holds.
   *
   * @throws EngineException {@code UNAVAILABLE} when all are taken
   */
  int claim() {
    for (int tried = 0; tried < count; tried++) {
      int range = Math.floorMod(next.getAndIncrement(), count);
      if (tree.claim(range)) {
        return range;
      }
    }
    throw new EngineException(
        EngineException.Kind.UNAVAILABLE,
        "all " + count + " id ranges are in use, one for each sandbox on this machine");
  }

  /** Gives a range back unless something runs in it. */
  void release(int range) {
    tree.release(range, Optional.empty());
  }

  /** Returns the first id of a range, in this process's namespace. */
  long firstId(int range) {
    return first + (long) range * SIZE;
  }

  /** The largest mapped range that is not the namespace's root itself, as first and count. */
  private static long[] largest(Path map) {
    long[] best = {0, 0};
    try {
      for (String line : Files.readAllLines(map)) {
        String[] fields = line.strip().split("\\s+", -1);
        long inside = Long.parseLong(fields[0]);
        long mapped = Long.parseLong(fields[2]);
        if (inside == 0 && mapped > 1) {
          // The machine's own namespace, or one that maps it whole.
          throw notPrepared();
        }
        if (inside > 0 && mapped > best[1]) {
          best = new long[] {inside, mapped};
        }
      }
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "cannot read " + map + "; " + SetUp.HOW, e);
    }
    return best;
  }

  private static EngineException notPrepared() {
    return new EngineException(
        EngineException.Kind.UNAVAILABLE,
        "the local engine runs inside a user namespace of its own only; " + SetUp.HOW);
  }
}
