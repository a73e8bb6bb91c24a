package dev.sandkeeper.client.tour;

import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.v1.CreateSandboxRequest;

/** A sandbox that is ended on every way out, also when the process is asked to stop. */
final class LeasedSandbox implements AutoCloseable {
  private final SandboxHandle sandbox;
  private final Thread hook = new Thread(this::endOnce, "end-sandbox");
  private boolean ended;

  private LeasedSandbox(SandboxHandle sandbox) {
    this.sandbox = sandbox;
  }

  static LeasedSandbox create(SandkeeperClient client, CreateSandboxRequest request) {
    LeasedSandbox leased = new LeasedSandbox(client.createSandbox(request));
    Runtime.getRuntime().addShutdownHook(leased.hook);
    return leased;
  }

  SandboxHandle sandbox() {
    return sandbox;
  }

  /** Ends the sandbox; does nothing when it was ended before. */
  @Override
  public void close() {
    endOnce();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // The process stops already and the hook runs; it finds the sandbox ended.
      return;
    }
  }

  private synchronized void endOnce() {
    if (!ended) {
      sandbox.terminate();
      ended = true;
    }
  }
}
