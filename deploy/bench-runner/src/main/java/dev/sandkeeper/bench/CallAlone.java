package dev.sandkeeper.bench;

import java.io.IOException;
import java.util.concurrent.TimeUnit;

/** Reads a sandbox after a while without a call: what a call costs that finds all caches cold. */
final class CallAlone implements Row {
  private static final long PAUSE_MILLIS = 100;

  @Override
  public Spec spec() {
    return new Spec("call_alone", "ms", Better.LOWER, Floor.none(), 200, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    return Runs.of(() -> {
      TimeUnit.MILLISECONDS.sleep(PAUSE_MILLIS);
      return Timing.millis(() -> place.client().getSandbox(place.sandbox().id()));
    });
  }
}
