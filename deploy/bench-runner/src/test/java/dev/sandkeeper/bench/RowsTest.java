package dev.sandkeeper.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.util.List;
import org.junit.jupiter.api.Test;

final class RowsTest {

  @Test
  void everyRowHasANameOfItsOwn() {
    List<String> names = names(List.of());
    assertThat(names).doesNotHaveDuplicates().contains("create_cold", "serve_start");
  }

  @Test
  void rowsAreRunInTheirUsualOrder() {
    assertThat(names(List.of("code_warm", "create_cold")))
        .containsExactly("create_cold", "code_warm");
  }

  @Test
  void aNameOfNoRowIsRefusedWithThoseThereAre() {
    assertThatExceptionOfType(BenchException.class)
        .isThrownBy(() -> Rows.select(List.of("exec_true", "exec_false")))
        .withMessageStartingWith("--only: there is no row 'exec_false' (expected: create_cold, ");
  }

  private static List<String> names(List<String> only) {
    return Rows.select(only).stream().map(row -> row.spec().name()).toList();
  }
}
