package dev.sandkeeper.bench;

import dev.sandkeeper.client.SandboxHandle;
import java.io.IOException;

/** Creates a sandbox at a peer of E2B; raw: the same call of E2B's API. */
final class E2bCreateOverhead implements Row {
  @Override
  public Spec spec() {
    return new Spec("e2b_create_overhead", "ms", Better.LOWER, Floor.added(1.5), 200, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    E2bPeer peer = lab.startE2bPeer();
    Workplace place = lab.startWorkplace(peer);
    return Runs.of(() -> create(place), () -> create(peer));
  }

  private static double create(Workplace place) {
    long start = System.nanoTime();
    SandboxHandle sandbox = place.create();
    double millis = Timing.millisSince(start);
    sandbox.close();
    return millis;
  }

  private static double create(E2bPeer peer) throws IOException, InterruptedException {
    long start = System.nanoTime();
    E2bPeer.Made made = peer.create();
    double millis = Timing.millisSince(start);
    peer.kill(made);
    return millis;
  }
}
