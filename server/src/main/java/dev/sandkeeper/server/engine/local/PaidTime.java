package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.OptionalLong;
import java.util.function.LongSupplier;

/**
 * Until when a sandbox is paid, in a file beside the agent's socket, as milliseconds of the
 * machine's monotonic clock. There the agent finds what was renewed while it was frozen, the watch
 * of a paused sandbox whether it is to end it, and a later server what it took over.
 */
final class PaidTime {

  private static final String NAME = "paid-until";
  private static final long NANOS_PER_MILLI = 1_000_000;

  private final Path file;
  private final LongSupplier nanoTime;

  /**
   * Knows the file, which need not exist yet.
   *
   * @param folder with the agent's socket
   * @param nanoTime the monotonic clock, the same for all processes since the machine started
   */
  PaidTime(Path folder, LongSupplier nanoTime) {
    this.file = folder.resolve(NAME);
    this.nanoTime = nanoTime;
  }

  /** The file. */
  Path file() {
    return file;
  }

  /**
   * Moves the end to {@code paid} from now.
   *
   * @throws EngineException {@code FAILED} when it cannot be written
   */
  void set(Duration paid) {
    try {
      Path next = file.resolveSibling(NAME + ".next");
      Files.writeString(next, (now() + paid.toMillis()) + "\n");
      // For the agent, whose id owns nothing here; nobody else inside gets into the folder.
      Files.setPosixFilePermissions(next, PosixFilePermissions.fromString("rw-r--r--"));
      Files.move(next, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the paid time cannot be written to " + file, e);
    }
  }

  /**
   * Returns the end, in milliseconds of the monotonic clock.
   *
   * @throws EngineException {@code FAILED} when it is not known
   */
  long untilMillis() {
    OptionalLong until = CgroupFiles.number(file);
    if (until.isEmpty()) {
      throw new EngineException(
          EngineException.Kind.FAILED, "until when the sandbox is paid is not in " + file);
    }
    return until.getAsLong();
  }

  /** Returns the time that is left of {@link #untilMillis}, zero when it has passed. */
  Duration left() {
    return Duration.ofMillis(Math.max(0, untilMillis() - now()));
  }

  private long now() {
    return nanoTime.getAsLong() / NANOS_PER_MILLI;
  }
}
