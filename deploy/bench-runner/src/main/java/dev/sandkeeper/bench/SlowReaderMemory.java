package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionEvent;
import dev.sandkeeper.client.ExecutionStream;
import java.io.IOException;
import java.time.Duration;
import java.util.Iterator;

/**
 * How much the resident memory of the server's process grows, at its highest, while a program
 * offers 1 GiB and its reader takes 10 MB a second for 20 seconds. Each run has a new server, so
 * that none finds the memory which another has taken already.
 */
final class SlowReaderMemory implements Row {
  private static final long OFFERED_BYTES = 1024 * Zeros.MIB;
  private static final long BYTES_PER_SECOND = 10_000_000;
  private static final Duration TIME = Duration.ofSeconds(20);

  /** Commands before the first look, so that classes which any execution loads are loaded. */
  private static final int COMMANDS_BEFORE = 50;

  @Override
  public Spec spec() {
    return new Spec("slow_reader_memory", "MiB", Better.LOWER, Floor.p50(64), 0, 3);
  }

  @Override
  public Runs start(Lab lab) {
    return Runs.of(() -> growth(lab));
  }

  private static double growth(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    for (int command = 0; command < COMMANDS_BEFORE; command++) {
      place.runTrue();
    }
    long before = place.server().residentBytes();
    long highest = before;
    long received = 0;
    long start = System.nanoTime();
    try (ExecutionStream stream = Zeros.in(place.sandbox(), OFFERED_BYTES)) {
      Iterator<ExecutionEvent> events = stream.iterator();
      while (Timing.secondsSince(start) < TIME.toSeconds()) {
        if (events.next() instanceof ExecutionEvent.Stdout stdout) {
          received += stdout.data().size();
        }
        highest = Math.max(highest, place.server().residentBytes());
        awaitTurn(received, start);
      }
    }
    requireSteady(received);
    // Ends the program with its sandbox, and the server.
    lab.close();
    return (double) (highest - before) / Zeros.MIB;
  }

  /** Waits until so many bytes are due at the reader's pace. */
  private static void awaitTurn(long received, long startNanos) throws InterruptedException {
    double dueSeconds = (double) received / BYTES_PER_SECOND;
    long early = (long) ((dueSeconds - Timing.secondsSince(startNanos)) * Timing.NANOS_PER_SECOND);
    if (early > 0) {
      Thread.sleep(Duration.ofNanos(early));
    }
  }

  private static void requireSteady(long received) {
    long due = BYTES_PER_SECOND * TIME.toSeconds();
    // A server that sends nothing grows by nothing.
    if (received < due / 10 * 9) {
      throw new BenchException("the slow reader got " + received + " of " + due + " bytes");
    }
  }
}
