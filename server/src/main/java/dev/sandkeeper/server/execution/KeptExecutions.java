package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandboxId;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;
import java.util.stream.Stream;

/**
 * The executions that run, and those whose events are still kept after their end.
 *
 * <p>Bounded: by time, count and bytes after the end, and while they run by what a sandbox may run.
 * Where they are too many those go first that ended first, however long they were to be kept:
 * nobody can have others' go at once by asking for a long time.
 */
public final class KeptExecutions {
  private final Path folder;
  private final ExecutionLimits limits;
  private final LongSupplier nanoTime;
  private final Map<ExecutionId, LiveExecution> kept = new ConcurrentHashMap<>();
  private final Map<SandboxId, Set<LiveExecution>> running = new ConcurrentHashMap<>();

  // Guarded by this.
  private final NavigableSet<Ended> byEnd = new TreeSet<>(Comparator.comparingLong(Ended::number));
  private final NavigableSet<Ended> byTime =
      new TreeSet<>(Comparator.comparingLong(Ended::leftNanos).thenComparingLong(Ended::number));
  private final long beginNanos;
  private long endedCount;
  private long endedBytes;

  /**
   * An execution that is over.
   *
   * @param number counts those that ended
   * @param leftNanos when its events are kept no more, from this object's beginning
   * @param bytes how many it keeps
   */
  private record Ended(LiveExecution execution, long number, long leftNanos, long bytes) {}

  /**
   * Begins with nothing but what an earlier server left in the folder, which is kept on by {@link
   * #load}.
   *
   * @param folder this object's own; made when it is missing
   * @param nanoTime the monotonic clock, in nanoseconds
   */
  public KeptExecutions(Path folder, ExecutionLimits limits, LongSupplier nanoTime) {
    this.folder = folder;
    this.limits = limits;
    this.nanoTime = nanoTime;
    this.beginNanos = nanoTime.getAsLong();
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns a journal for a new execution. */
  Journal newJournal(ExecutionId executionId, Retention retention) {
    try {
      Path made = Files.createDirectory(folder.resolve(executionId.value()));
      if (!retention.equals(limits.retention())) {
        retention.write(made);
      }
      return new Journal(made, retention);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Notes what is to be collected of a new execution, which has its journal already. */
  KeptArtifacts newArtifacts(ExecutionId executionId, ArtifactSelection selection) {
    try {
      return KeptArtifacts.begin(folder.resolve(executionId.value()), selection);
    } catch (IOException e) {
      delete(executionId);
      throw new UncheckedIOException(e);
    }
  }

  /** Returns what an earlier server left of an execution's artifacts, if it was to keep any. */
  Optional<KeptArtifacts> loadArtifacts(ExecutionId executionId) {
    try {
      return KeptArtifacts.load(folder.resolve(executionId.value()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns the executions of which an earlier server left events that nobody has loaded. */
  List<ExecutionId> left() {
    try (Stream<Path> folders = Files.list(folder)) {
      return folders
          .map(found -> new ExecutionId(found.getFileName().toString()))
          .filter(id -> !kept.containsKey(id))
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns the journal that an earlier server left of an execution, if it is there. */
  Optional<Journal> load(ExecutionId executionId) {
    Path left = folder.resolve(executionId.value());
    try {
      return Files.exists(left)
          ? Optional.of(Journal.load(left, Retention.read(left, limits.retention())))
          : Optional.empty();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Deletes what an earlier server left of an execution. */
  void delete(ExecutionId executionId) {
    Journal.delete(folder.resolve(executionId.value()));
  }

  /**
   * Adds an execution that is over.
   *
   * @param ago when it ended
   */
  void addEnded(LiveExecution execution, Duration ago) {
    kept.put(execution.execution().executionId(), execution);
    Duration left = execution.journal().retention().keep().minus(ago);
    long leftNanos = nanoTime.getAsLong() - beginNanos + left.toNanos();
    synchronized (this) {
      Ended entry = new Ended(execution, endedCount++, leftNanos, execution.keptBytes());
      byEnd.add(entry);
      byTime.add(entry);
      endedBytes += entry.bytes();
    }
  }

  /**
   * Adds an execution that is about to start, or goes on.
   *
   * @return whether it has a place; false when as many run in its sandbox as may
   */
  boolean add(LiveExecution execution) {
    ExecutionId executionId = execution.execution().executionId();
    kept.put(executionId, execution);
    Set<LiveExecution> runs =
        running.compute(
            execution.sandbox().sandboxId(),
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

  /** Adds nothing more by itself to what runs: the next server goes on with it. */
  void letGo() {
    running.values().forEach(runs -> runs.forEach(LiveExecution::letGo));
  }

  /** Deletes the events of executions that ended long enough ago, or are too many. */
  public void sweep() {
    for (Optional<Ended> gone = next(); gone.isPresent(); gone = next()) {
      LiveExecution execution = gone.get().execution();
      kept.remove(execution.execution().executionId());
      execution.journal().delete();
    }
  }

  /** Takes out one whose events are to go. The one that ended last stays, whatever its size. */
  private synchronized Optional<Ended> next() {
    Optional<Ended> gone = Optional.empty();
    if (!byTime.isEmpty() && byTime.first().leftNanos() < nanoTime.getAsLong() - beginNanos) {
      gone = Optional.of(byTime.first());
    } else if (byEnd.size() > limits.maxKept()
        || (byEnd.size() > 1 && endedBytes > limits.maxKeptBytes())) {
      gone = Optional.of(byEnd.first());
    }
    gone.ifPresent(entry -> {
      byTime.remove(entry);
      byEnd.remove(entry);
      endedBytes -= entry.bytes();
    });
    return gone;
  }

  private void end(LiveExecution execution, boolean recorded) {
    running.computeIfPresent(
        execution.sandbox().sandboxId(),
        (_, set) -> {
          set.remove(execution);
          return set.isEmpty() ? null : set;
        });
    if (recorded) {
      addEnded(execution, Duration.ZERO);
    } else {
      kept.remove(execution.execution().executionId()); // it deletes its events itself
    }
    sweep();
  }
}
