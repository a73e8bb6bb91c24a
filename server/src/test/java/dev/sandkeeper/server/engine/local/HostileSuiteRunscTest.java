package dev.sandkeeper.server.engine.local;

import java.io.IOException;

/** The programs that attack, on gVisor. */
final class HostileSuiteRunscTest extends HostileSuite {
  HostileSuiteRunscTest() throws IOException {
    super("runsc");
  }
}
