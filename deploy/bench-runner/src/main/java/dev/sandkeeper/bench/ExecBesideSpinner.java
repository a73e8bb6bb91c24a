package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionEvent;
import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.client.SandboxHandle;
import java.io.IOException;
import java.time.Duration;

/**
 * Executes {@code true}, to the last event, while another sandbox keeps all its processors busy;
 * raw: the same while that one is paused.
 */
final class ExecBesideSpinner implements Row {

  /** More of them than any sandbox has processors. */
  private static final String SPIN =
      "for _ in $(seq 8); do while :; do :; done & done; echo spins; wait";

  private static final Duration TIME = Duration.ofHours(1);

  @Override
  public Spec spec() {
    return new Spec("exec_beside_spinner", "ms", Better.LOWER, Floor.ratio(2), 2_000, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    SandboxHandle spinner = place.makeAnother();
    spin(spinner);
    boolean[] paused = {false};
    return Runs.of(
        () -> {
          if (paused[0]) {
            spinner.resume();
            paused[0] = false;
            // The first one finds processors that were idle.
            place.runTrue();
          }
          return Timing.millis(place::runTrue);
        },
        () -> {
          spinner.pause();
          paused[0] = true;
          place.runTrue();
          return Timing.millis(place::runTrue);
        });
  }

  /** Returns when it spins; that goes on when its reader has left. */
  private static void spin(SandboxHandle spinner) {
    try (ExecutionStream stream = spinner.shell(SPIN).deadline(TIME).stream()) {
      for (ExecutionEvent event : stream) {
        if (event instanceof ExecutionEvent.Stdout) {
          return;
        }
      }
    }
    throw new BenchException("the spinner ended");
  }
}
