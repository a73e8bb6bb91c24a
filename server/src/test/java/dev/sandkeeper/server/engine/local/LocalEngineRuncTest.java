package dev.sandkeeper.server.engine.local;

class LocalEngineRuncTest extends LocalEngineContract {
  LocalEngineRuncTest() throws Exception {
    super("runc");
  }
}
