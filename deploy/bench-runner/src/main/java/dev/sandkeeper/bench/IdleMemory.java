package dev.sandkeeper.bench;

import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * How much of the machine's memory an idle sandbox takes: what less is available once 300 of them
 * have been made, each. Made anew for each run, and ended after it.
 */
final class IdleMemory implements Row {
  private static final int SANDBOXES = 300;

  /** Who asks for few runs wants an answer soon. */
  private static final int FEW_SANDBOXES = 30;

  private static final Duration LIFE = Duration.ofHours(1);

  @Override
  public Spec spec() {
    return new Spec("idle_memory", "MiB", Better.LOWER, Floor.p50(8), 1, 3);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    SandkeeperClient client = lab.startWorkplace().client();
    int count = lab.isBrief() ? FEW_SANDBOXES : SANDBOXES;
    return Runs.of(() -> each(client, count));
  }

  private static double each(SandkeeperClient client, int count) throws IOException {
    Deque<SandboxHandle> sandboxes = new ArrayDeque<>();
    long before = Machine.availableBytes();
    try {
      while (sandboxes.size() < count) {
        sandboxes.push(client.createSandbox(LIFE));
      }
      return (double) (before - Machine.availableBytes()) / count / Zeros.MIB;
    } finally {
      sandboxes.forEach(SandboxHandle::close);
    }
  }
}
