package dev.sandkeeper.bench;

import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.Resources;
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

  /** The resources of a sandbox at a peer of E2B, which has no others. */
  static final CreateSandboxRequest AT_E2B =
      request().setResources(Resources.newBuilder().setCpuCores(2).setMemoryMib(512)).build();

  private final ServerProcess server;
  private final SandkeeperClient client;
  private final CreateSandboxRequest request;
  private final SandboxHandle sandbox;

  /** All that were made here, newest first. */
  private final Deque<SandboxHandle> sandboxes = new ArrayDeque<>();

  private Workplace(ServerProcess server, SandkeeperClient client, CreateSandboxRequest request) {
    this.server = server;
    this.client = client;
    this.request = request;
    this.sandbox = makeAnother();
  }

  private static CreateSandboxRequest.Builder request() {
    return CreateSandboxRequest.newBuilder()
        .setTimeout(com.google.protobuf.Duration.newBuilder().setSeconds(LIFE.toSeconds()));
  }

  static Workplace open(ServerProcess server) throws IOException {
    return open(server, request().build());
  }

  /**
   * Connects, and makes a sandbox.
   *
   * @param request what sandboxes are made by
   */
  static Workplace open(ServerProcess server, CreateSandboxRequest request) throws IOException {
    SandkeeperClient client = server.connect();
    client.setLimit(LimitPeriod.LIMIT_PERIOD_DAY, LIMIT_NANO_USD);
    return new Workplace(server, client, request);
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
    SandboxHandle another = create();
    sandboxes.push(another);
    return another;
  }

  /** Makes a sandbox that the caller ends. */
  SandboxHandle create() {
    return client.createSandbox(request);
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
