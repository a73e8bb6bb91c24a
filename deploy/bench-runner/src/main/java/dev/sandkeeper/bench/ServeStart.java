package dev.sandkeeper.bench;

import java.io.IOException;

/** Starts the server on a data folder that an earlier one has left, until it serves. */
final class ServeStart implements Row {
  @Override
  public Spec spec() {
    return new Spec("serve_start", "s", Better.LOWER, Floor.p50(2), 1, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    lab.startServer();
    lab.close();
    return Runs.of(() -> startServer(lab));
  }

  private static double startServer(Lab lab) throws IOException, InterruptedException {
    double seconds = lab.startServer().startTime().toNanos() / Timing.NANOS_PER_SECOND;
    // As an operator stops it, so that the next one finds nothing to repair. Not part of the
    // figure.
    lab.close();
    return seconds;
  }
}
