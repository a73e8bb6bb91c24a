package dev.sandkeeper.server.sandbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.policy.CommandPolicy;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class TemplateTest {
  private static final Template.Range RANGE = new Template.Range(1, 1, 1);

  private static Template template(List<String> imports) {
    Duration life = Duration.ofMinutes(1);
    return new Template(
        "mine",
        "",
        "standard",
        Optional.of("local"),
        Optional.empty(),
        List.of(),
        Optional.empty(),
        RANGE,
        RANGE,
        1,
        life,
        life,
        imports,
        NetworkPolicy.NONE,
        NetworkPolicy.NONE,
        CommandPolicy.NONE);
  }

  @Test
  void importsAreModuleNames() {
    List<String> names = List.of("numpy", "matplotlib.pyplot", "_a.b_2", "x".repeat(100));

    assertThat(template(names).imports()).isEqualTo(names);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "a,b", "a b", "2a", ".a", "a.", "a..b", "a-b", "a;import os", "ı"})
  void whatIsNoModuleNameIsRefused(String name) {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> template(List.of(name)))
        .withMessageStartingWith("imports of template mine: '" + name + "' (expected: ");
  }

  @Test
  void importsAreNeitherManyNorLong() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> template(Collections.nCopies(17, "a")))
        .withMessage("imports of template mine: 17 (expected: at most 16)");
    assertThatIllegalArgumentException().isThrownBy(() -> template(List.of("x".repeat(101))));
  }
}
