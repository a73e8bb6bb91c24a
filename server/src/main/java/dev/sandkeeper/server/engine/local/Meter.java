package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.UsageReading;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.OptionalLong;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Measures one sandbox. Processor time and the peak are the kernel's own sums; memory over time is
 * integrated here, by the trapezoid rule between samples, and kept in a file so that it survives
 * the server. For the time without a server the smaller of the two memory readings around it is
 * taken: that never bills more than was seen.
 */
final class Meter {

  private static final Logger logger = LoggerFactory.getLogger(Meter.class);

  private static final long NANOS_PER_MICRO = 1_000;
  private static final long BYTES_PER_KIB = 1_024;
  private static final long KIB_MICROS_PER_MIB_MILLI = 1_024 * 1_000;
  private static final int SAMPLES_PER_SAVE = 20;

  private final Cgroup cgroup;
  private final Path file;
  private final LongSupplier nanoTime;

  // All below are guarded by this. The sum holds 12 days of 8 GiB, in KiB-microseconds.
  private long kibMicros;
  private long lastNanos;
  private long lastKib = -1;
  private boolean gap;
  private OptionalLong cpuMicros = OptionalLong.empty();
  private OptionalLong peakBytes = OptionalLong.empty();
  private int samples;
  private boolean finished;

  /**
   * Goes on from what an earlier meter saved, if it did.
   *
   * @param cgroup what to read
   * @param file where to keep the sum
   * @param nanoTime the monotonic clock, the same for all processes since the machine started
   */
  Meter(Cgroup cgroup, Path file, LongSupplier nanoTime) {
    this.cgroup = cgroup;
    this.file = file;
    this.nanoTime = nanoTime;
    load();
  }

  /** Takes a sample. */
  synchronized void sample() {
    if (finished) {
      return;
    }
    integrate();
    if (++samples % SAMPLES_PER_SAVE == 0) {
      save();
    }
  }

  /** Returns the usage until now. */
  synchronized UsageReading read() {
    if (!finished) {
      integrate();
      OptionalLong cpu = cgroup.cpuMicros();
      if (cpu.isPresent() && cpu.getAsLong() >= cpuMicros.orElse(0)) {
        cpuMicros = cpu;
      }
      OptionalLong peak = cgroup.peakMemoryBytes();
      if (peak.isPresent()) {
        peakBytes = peak;
      }
    }
    OptionalLong memory =
        lastKib < 0 ? OptionalLong.empty() : OptionalLong.of(kibMicros / KIB_MICROS_PER_MIB_MILLI);
    return new UsageReading(cpuMicros, memory, peakBytes);
  }

  /** Takes the last reading; later calls return the same. */
  synchronized UsageReading finish() {
    UsageReading reading = read();
    finished = true;
    return reading;
  }

  /** Keeps the sum for a later server. */
  synchronized void save() {
    if (lastKib < 0 || finished) {
      return;
    }
    try {
      Path next = file.resolveSibling(file.getFileName() + ".next");
      Files.writeString(next, kibMicros + " " + lastNanos + " " + lastKib);
      Files.move(next, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    } catch (IOException e) {
      logger.atWarn().addKeyValue("file", file).setCause(e).log("Cannot save a memory reading");
    }
  }

  private void integrate() {
    OptionalLong bytes = cgroup.memoryBytes();
    if (bytes.isEmpty()) {
      return;
    }
    long now = nanoTime.getAsLong();
    long kib = bytes.getAsLong() / BYTES_PER_KIB;
    if (lastKib < 0) {
      lastNanos = now;
    } else {
      long micros = Math.max(0, now - lastNanos) / NANOS_PER_MICRO;
      long mean = gap ? Math.min(lastKib, kib) : (lastKib + kib) / 2;
      kibMicros = Math.addExact(kibMicros, Math.multiplyExact(mean, micros));
      lastNanos += micros * NANOS_PER_MICRO;
    }
    gap = false;
    lastKib = kib;
  }

  private void load() {
    try {
      if (!Files.exists(file)) {
        return;
      }
      String[] fields = Files.readString(file).split(" ", -1);
      kibMicros = Long.parseLong(fields[0]);
      lastNanos = Long.parseLong(fields[1]);
      lastKib = Long.parseLong(fields[2].strip());
      gap = true;
    } catch (IOException | RuntimeException e) {
      logger.atWarn().addKeyValue("file", file).setCause(e).log("Cannot read a memory reading");
      kibMicros = 0;
      lastKib = -1;
    }
  }
}
