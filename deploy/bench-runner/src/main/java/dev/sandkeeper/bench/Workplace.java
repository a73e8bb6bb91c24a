package dev.sandkeeper.bench;

import com.google.protobuf.Duration;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.LimitPeriod;
import java.io.IOException;

/**
 * A sandbox that runs, and a connection to its server. Its tenant has a limit, so that admission
 * has something to decide.
 */
final class Workplace {
  private static final Duration LIFE = Duration.newBuilder().setSeconds(3600).build();
  private static final long LIMIT_NANO_USD = 1_000_000_000_000L;

  private final ServerProcess server;
  private final SandkeeperClient client;
  private final String sandboxId;

  private Workplace(ServerProcess server, SandkeeperClient client, String sandboxId) {
    this.server = server;
    this.client = client;
    this.sandboxId = sandboxId;
  }

  static Workplace open(ServerProcess server) throws IOException {
    SandkeeperClient client = server.connect();
    client.setLimit(LimitPeriod.LIMIT_PERIOD_DAY, LIMIT_NANO_USD);
    CreateSandboxRequest request = CreateSandboxRequest.newBuilder().setTimeout(LIFE).build();
    return new Workplace(server, client, client.createSandbox(request).id());
  }

  ServerProcess server() {
    return server;
  }

  SandkeeperClient client() {
    return client;
  }

  String sandboxId() {
    return sandboxId;
  }

  /** Ends the sandbox and the connection. */
  void leave() {
    try (client) {
      client.terminateSandbox(sandboxId);
    }
  }
}
