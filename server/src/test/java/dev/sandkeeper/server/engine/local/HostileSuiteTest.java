package dev.sandkeeper.server.engine.local;

import java.io.IOException;

/**
 * The programs that attack, on runc; or on another runtime, which the system property {@code
 * sandkeeper.attacks.runtime} names.
 */
final class HostileSuiteTest extends HostileSuite {
  HostileSuiteTest() throws IOException {
    super(System.getProperty("sandkeeper.attacks.runtime", LocalEngineSettings.DEFAULT_RUNTIME));
  }
}
