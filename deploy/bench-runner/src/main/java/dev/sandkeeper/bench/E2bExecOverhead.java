package dev.sandkeeper.bench;

import java.io.IOException;

/** Executes {@code true} in a sandbox at a peer of E2B, to the last event; raw: E2B's own way. */
final class E2bExecOverhead implements Row {
  @Override
  public Spec spec() {
    return new Spec("e2b_exec_overhead", "ms", Better.LOWER, Floor.added(1), 2_000, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    E2bPeer peer = lab.startE2bPeer();
    Workplace place = lab.startWorkplace(peer);
    E2bPeer.Made raw = peer.create();
    return Runs.of(
        () -> Timing.millis(place::runTrue), () -> Timing.millis(() -> peer.runTrue(raw)));
  }
}
