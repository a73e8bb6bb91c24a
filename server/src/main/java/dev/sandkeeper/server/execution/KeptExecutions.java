package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandboxId;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongSupplier;
import java.util.stream.Stream;

/**
 * The executions that run, and those whose events are still kept after their end.
 *
 * <p>Bounded: by time and count after the end, and while they run by what a sandbox may run.
 */
public final class KeptExecutions {
  private final Path folder;
  private final ExecutionLimits limits;
  private final LongSupplier nanoTime;
  private final Map<ExecutionId, LiveExecution> kept = new ConcurrentHashMap<>();
  private final Map<SandboxId, Set<LiveExecution>> running = new ConcurrentHashMap<>();
  private final Queue<Ended> ended = new ConcurrentLinkedQueue<>();

  /** How many there are in {@link #ended}, which would count them one by one. */
  private final AtomicInteger endedCount = new AtomicInteger();

  private record Ended(LiveExecution execution, long nanoTime) {}

  /**
   * Begins with nothing kept; events that an earlier server left are deleted, for their numbering
   * cannot go on.
   *
   * @param folder this object's own; made when it is missing
   * @param nanoTime the monotonic clock, in nanoseconds
   */
  public KeptExecutions(Path folder, ExecutionLimits limits, LongSupplier nanoTime) {
    this.folder = folder;
    this.limits = limits;
    this.nanoTime = nanoTime;
    try {
      if (Files.exists(folder)) {
        deleteTree(folder);
      }
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns a journal for a new execution. */
  Journal newJournal(ExecutionId executionId) {
    try {
      return new Journal(
          Files.createDirectory(folder.resolve(executionId.value())), limits.journalBytes());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Adds an execution that is about to start.
   *
   * @return whether it has a place; false when as many run in its sandbox as may
   */
  boolean add(LiveExecution execution) {
    ExecutionId executionId = execution.execution().executionId();
    kept.put(executionId, execution);
    Set<LiveExecution> runs =
        running.compute(
            execution.sandbox().id(),
            (_, set) -> {
              Set<LiveExecution> all = set == null ? ConcurrentHashMap.newKeySet() : set;
              if (all.size() < limits.maxRunning()) {
                all.add(execution);
              }
              return all;
            });
    var _ = execution.done().whenComplete((recorded, _) -> end(execution, recorded));
    return runs.contains(execution);
  }

  /** Returns the execution when it runs or its events are kept. */
  Optional<LiveExecution> find(ExecutionId executionId) {
    return Optional.ofNullable(kept.get(executionId));
  }

  /** Returns what runs in the sandbox now. */
  Set<LiveExecution> runningIn(SandboxId sandboxId) {
    return Set.copyOf(running.getOrDefault(sandboxId, Set.of()));
  }

  /** Deletes the events of executions that ended long enough ago, or are too many. */
  public void sweep() {
    long oldest = nanoTime.getAsLong() - limits.keep().toNanos();
    for (Ended first = ended.peek();
        first != null && (first.nanoTime() - oldest < 0 || endedCount.get() > limits.maxKept());
        first = ended.peek()) {
      if (ended.remove(first)) {
        endedCount.decrementAndGet();
        kept.remove(first.execution().execution().executionId());
        first.execution().journal().delete();
      }
    }
  }

  private void end(LiveExecution execution, boolean recorded) {
    running.computeIfPresent(
        execution.sandbox().id(),
        (_, set) -> {
          set.remove(execution);
          return set.isEmpty() ? null : set;
        });
    if (recorded) {
      ended.add(new Ended(execution, nanoTime.getAsLong()));
      endedCount.incrementAndGet();
    } else {
      kept.remove(execution.execution().executionId()); // it deletes its events itself
    }
    sweep();
  }

  private static void deleteTree(Path folder) throws IOException {
    try (Stream<Path> paths = Files.walk(folder)) {
      for (Path path : (Iterable<Path>) paths.sorted(Comparator.reverseOrder())::iterator) {
        Files.delete(path);
      }
    }
  }
}
