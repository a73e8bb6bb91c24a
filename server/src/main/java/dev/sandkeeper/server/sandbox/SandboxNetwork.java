package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.egress.EgressGateway;
import dev.sandkeeper.server.egress.EgressSource;
import dev.sandkeeper.server.engine.EngineSandbox;

/** Leads what sandboxes connect to through the gateway. */
final class SandboxNetwork {
  private SandboxNetwork() {}

  /** Opens the way out of a sandbox that became live here, if its policy gives it one. */
  static void open(EgressGateway gateway, Sandbox sandbox, EngineSandbox engine) {
    if (!sandbox.network().isNone()) {
      engine.openNetwork(
          gateway.open(
              new EgressSource(sandbox.tenantId(), sandbox.sandboxId(), sandbox.attribution()),
              sandbox.network()));
    }
  }
}
