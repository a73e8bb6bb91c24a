package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

final class EnginesTest {
  private static final EngineHealth HEALTH =
      new EngineHealth(
          true,
          EngineHealth.Breaker.CLOSED,
          Instant.EPOCH,
          Optional.empty(),
          Optional.empty(),
          0,
          1);

  private static Engines.Member member(String name, OptionalInt capacity) {
    return new Engines.Member(new FakeEngine(name), capacity, () -> HEALTH);
  }

  private static final Engines engines =
      new Engines(
          "one", List.of(member("one", OptionalInt.empty()), member("two", OptionalInt.of(3))));

  @Test
  void anEngineThatIsNotThereIsRefusedWithThoseThatAre() {
    assertThatExceptionOfType(SandkeeperException.class)
        .isThrownBy(() -> engines.require("three"))
        .satisfies(refusal -> {
          assertThat(refusal.reason()).isEqualTo(ErrorReason.ENGINE_MISSING);
          assertThat(refusal.context())
              .containsEntry("engine", "three")
              .containsEntry("engines", "one,two");
        });
    assertThatExceptionOfType(SandkeeperException.class)
        .isThrownBy(() -> new Engines("three", List.of(member("one", OptionalInt.empty()))));
    assertThat(engines.find("three")).isEmpty();
    assertThat(engines.capacity("three")).isEmpty();
  }

  @Test
  void eachIsFoundByItsName() {
    assertThat(engines.find("two")).map(SandboxEngine::name).contains("two");
    assertThat(engines.capacity("two")).hasValue(3);
    assertThat(engines.all()).extracting(Engines.Member::name).containsExactly("one", "two");
  }

  @Test
  void twoOfANameAreRefused() {
    assertThatIllegalArgumentException()
        .isThrownBy(() ->
            new Engines(
                "one",
                List.of(member("one", OptionalInt.empty()), member("one", OptionalInt.empty()))));
  }

  @Test
  void theirPlacesAreToldApartAgain() {
    String places = engines.places();

    assertThat(places).isEqualTo("one:cloud\ntwo:cloud");
    assertThat(Engines.placeOf("two", places)).contains("two:cloud");
    assertThat(Engines.placeOf("three", places)).isEmpty();
    // What a server with one engine wrote.
    assertThat(Engines.placeOf("local", "local:boot-1:/data/engine"))
        .contains("local:boot-1:/data/engine");
  }
}
