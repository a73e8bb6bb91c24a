package dev.sandkeeper.bench;

import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.v1.SandboxState;
import java.io.IOException;

/** Creates a sandbox, until it is RUNNING; raw: {@code runc run true}. */
final class CreateCold implements Row {
  @Override
  public Spec spec() {
    return new Spec("create_cold", "ms", Better.LOWER, Floor.ratio(2), 200, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    RawContainer raw = lab.makeRawContainer(place);
    return Runs.of(() -> create(place.client()), () -> Timing.millis(raw::runTrue));
  }

  private static double create(SandkeeperClient client) {
    long start = System.nanoTime();
    try (SandboxHandle sandbox = client.createSandbox()) {
      double millis = Timing.millisSince(start);
      SandboxState state = sandbox.describe().getState();
      if (state != SandboxState.SANDBOX_STATE_RUNNING) {
        throw new BenchException("the new sandbox is " + state);
      }
      return millis;
    }
  }
}
