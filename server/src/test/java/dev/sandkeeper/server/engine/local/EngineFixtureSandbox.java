package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineSandbox;
import java.time.Duration;

/** A sandbox for one test alone. */
record EngineFixtureSandbox(EngineSandbox sandbox) implements AutoCloseable {

  EngineFixtureSandbox(EngineFixture fixture) {
    this(fixture.create());
  }

  @Override
  public void close() {
    sandbox.destroy(Duration.ZERO);
  }
}
