package dev.sandkeeper.server.engine.local;

class LocalEngineCrunTest extends LocalEngineContract {
  LocalEngineCrunTest() throws Exception {
    super("crun");
  }
}
