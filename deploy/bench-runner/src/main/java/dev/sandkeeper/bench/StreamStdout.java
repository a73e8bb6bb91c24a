package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.concurrent.atomic.AtomicLong;

/**
 * How fast the output of a program reaches the client, journaled and hashed on the way; raw: the
 * same program on this machine, read through a pipe.
 */
final class StreamStdout implements Row {
  private static final long BYTES = 128 * Zeros.MIB;
  private static final double BYTES_PER_MEGABYTE = 1e6;

  @Override
  public Spec spec() {
    return new Spec("stream_stdout", "MB/s", Better.HIGHER, Floor.ratio(0.25), 40, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    return Runs.of(() -> stream(place), StreamStdout::pipe);
  }

  private static double stream(Workplace place) {
    AtomicLong received = new AtomicLong();
    long start = System.nanoTime();
    try (ExecutionStream stream = Zeros.in(place.sandbox(), BYTES)) {
      Outcomes.requireSuccess(stream.await(bytes -> received.addAndGet(bytes.size()), _ -> {}));
    }
    return rate(received.get(), start);
  }

  private static double pipe() throws IOException, InterruptedException {
    byte[] buffer = new byte[Zeros.BLOCK_BYTES];
    long received = 0;
    long start = System.nanoTime();
    Process program = Zeros.here(BYTES);
    try (InputStream output = program.getInputStream()) {
      for (int count = output.read(buffer); count >= 0; count = output.read(buffer)) {
        received += count;
      }
      program.waitFor();
    }
    return rate(received, start);
  }

  private static double rate(long received, long startNanos) {
    double seconds = Timing.secondsSince(startNanos);
    if (received != BYTES) {
      throw new BenchException("of " + BYTES + " bytes written " + received + " arrived");
    }
    return received / seconds / BYTES_PER_MEGABYTE;
  }
}
