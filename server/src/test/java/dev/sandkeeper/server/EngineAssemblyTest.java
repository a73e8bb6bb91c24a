package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.sandkeeper.server.config.Configuration;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.telemetry.EngineInstruments;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

final class EngineAssemblyTest {
  private static final Configuration.EngineGuard GUARD =
      new Configuration.EngineGuard(2, 1, 50, Duration.ofSeconds(30), 1, 1, Duration.ofSeconds(30));

  private static EngineAssembly assemble(
      String standard, Map<String, String> tiers, List<String> fallback) {
    return new EngineAssembly(
        List.of(
            EngineFixture.added(new FakeEngine("one")), EngineFixture.added(new FakeEngine("two"))),
        new Configuration.Engines(standard, tiers, fallback, GUARD),
        EngineInstruments.none());
  }

  @Test
  void theDefaultIsTheConfiguredOne() {
    Engines engines = assemble("two", Map.of("gpu", "one"), List.of("one")).engines();

    assertThat(engines.defaultName()).isEqualTo("two");
    assertThat(engines.all()).extracting(Engines.Member::name).containsExactly("one", "two");
  }

  @Test
  void aConfiguredEngineThatIsNotThereKeepsTheServerFromStarting() {
    for (Runnable wrong :
        List.<Runnable>of(
            () -> assemble("three", Map.of(), List.of()),
            () -> assemble("one", Map.of("gpu", "three"), List.of()),
            () -> assemble("one", Map.of(), List.of("two", "three")))) {
      assertThatExceptionOfType(StartException.class)
          .isThrownBy(wrong::run)
          .withMessage(
              "engine.default, engine.tiers or engine.fallback: three (expected: one of one,two)");
    }
  }
}
