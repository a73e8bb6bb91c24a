package dev.sandkeeper.bench;

import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.v1.LimitPeriod;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * A sandbox that runs, and a connection to its server. Its tenant has a limit, so that admission
 * has something to decide.
 */
final class Workplace {
  private static final Duration LIFE = Duration.ofHours(1);
  private static final long LIMIT_NANO_USD = 1_000_000_000_000L;

  private final ServerProcess server;
  private final SandkeeperClient client;
  private final SandboxHandle sandbox;

  /** All that were made here, newest first. */
  private final Deque<SandboxHandle> sandboxes = new ArrayDeque<>();

  private Workplace(ServerProcess server, SandkeeperClient client, SandboxHandle sandbox) {
    this.server = server;
    this.client = client;
    this.sandbox = sandbox;
    sandboxes.push(sandbox);
  }

  static Workplace open(ServerProcess server) throws IOException {
    SandkeeperClient client = server.connect();
    client.setLimit(LimitPeriod.LIMIT_PERIOD_DAY, LIMIT_NANO_USD);
    return new Workplace(server, client, client.createSandbox(LIFE));
  }

  ServerProcess server() {
    return server;
  }

  SandkeeperClient client() {
    return client;
  }

  SandboxHandle sandbox() {
    return sandbox;
  }

  /** Makes one more sandbox. */
  SandboxHandle makeAnother() {
    SandboxHandle another = client.createSandbox(LIFE);
    sandboxes.push(another);
    return another;
  }

  /** Executes {@code true} in the sandbox, to its last event. */
  void runTrue() {
    Outcomes.requireSuccess(sandbox.command("true").run().finished());
  }

  /** Ends all sandboxes, which would live on in the next row's server, and the connection. */
  void leave() {
    try (client) {
      sandboxes.forEach(SandboxHandle::close);
    }
  }
}
