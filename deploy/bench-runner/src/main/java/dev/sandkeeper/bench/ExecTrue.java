package dev.sandkeeper.bench;

import java.io.IOException;

/** Executes {@code true}, to the last event; raw: {@code runc exec true}. */
final class ExecTrue implements Row {

  @Override
  public Spec spec() {
    return new Spec("exec_true", "ms", Better.LOWER, Floor.ratio(0.15), 8_000, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    RawContainer raw = lab.makeRawContainer(place);
    raw.start();
    return Runs.of(() -> Timing.millis(place::runTrue), () -> Timing.millis(raw::execTrue));
  }
}
