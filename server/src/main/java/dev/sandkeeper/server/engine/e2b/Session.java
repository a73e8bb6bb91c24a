package dev.sandkeeper.server.engine.e2b;

import java.util.Optional;

/**
 * What reaches a sandbox that runs.
 *
 * @param sandboxId E2B's id
 * @param templateId E2B's id
 * @param envdVersion of the daemon
 * @param accessToken what the daemon takes calls by; empty when it takes any
 * @param trafficAccessToken what connections to the sandbox's ports show, where these are not open
 * @param domain what names of the sandbox end with, if E2B says
 * @param resumed whether the call that this answers found the sandbox paused
 */
record Session(
    String sandboxId,
    String templateId,
    String envdVersion,
    Optional<String> accessToken,
    Optional<String> trafficAccessToken,
    Optional<String> domain,
    boolean resumed) {

  @Override
  public String toString() {
    return sandboxId;
  }
}
