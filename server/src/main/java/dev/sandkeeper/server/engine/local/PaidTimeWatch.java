package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * A process beside a paused sandbox that ends it when its paid time is over. It outlives this
 * server, as the sandbox does, and needs nothing of it.
 */
final class PaidTimeWatch {

  private static final double MILLIS_PER_SECOND = 1_000;

  private final List<String> program;
  private final PaidTime paid;
  private final Freezer freezer;

  /** Guarded by this. */
  private Optional<Process> current = Optional.empty();

  /**
   * Prepares a watch.
   *
   * @param program what runs {@code watch.sh}, apart from any terminal
   * @param paid until when the sandbox is paid
   * @param freezer of the sandbox
   */
  PaidTimeWatch(List<String> program, PaidTime paid, Freezer freezer) {
    this.program = program;
    this.paid = paid;
    this.freezer = freezer;
  }

  /**
   * Begins to watch, in place of what watched before.
   *
   * @param ended called, on a thread of its own, when the process has ended other than by {@link
   *     #stop}: the sandbox is over, or nobody watches
   * @throws EngineException {@code FAILED} when there is no watching
   */
  synchronized void start(Runnable ended) {
    List<String> command = new ArrayList<>(program);
    command.add(String.format(Locale.ROOT, "%.3f", paid.left().toMillis() / MILLIS_PER_SECOND));
    command.add(Long.toString(paid.untilMillis()));
    command.add(paid.file().toString());
    command.add(freezer.file().toString());
    command.add(freezer.thawed());
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .directory(Path.of("/").toFile())
            .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .redirectError(ProcessBuilder.Redirect.DISCARD);
    // It outlives us, so nothing of ours is to be left in it.
    builder.environment().clear();
    builder.environment().put("PATH", "/usr/bin:/bin");
    try {
      Process process = builder.start();
      // Only now: a failure leaves the one before.
      stop();
      current = Optional.of(process);
      Thread.ofVirtual().name("paid-time-watch-", 0).start(() -> await(process, ended));
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "cannot watch over the paid time by " + program, e);
    }
  }

  private void await(Process process, Runnable ended) {
    try {
      process.waitFor();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return;
    }
    if (isCurrent(process)) {
      ended.run();
    }
  }

  private synchronized boolean isCurrent(Process process) {
    return current.filter(process::equals).isPresent();
  }

  /** Ends the watch. */
  synchronized void stop() {
    current.ifPresent(Process::destroy);
    current = Optional.empty();
  }

  /** Leaves the watch to itself. */
  synchronized void letGo() {
    current = Optional.empty();
  }
}
