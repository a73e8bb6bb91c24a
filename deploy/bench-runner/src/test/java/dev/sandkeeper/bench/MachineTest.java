package dev.sandkeeper.bench;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class MachineTest {

  @Test
  void theLoadIsThatOfTheLastMinute() {
    assertThat(Machine.loadAverage("1.25 0.50 0.10 2/345 6789\n")).isEqualTo(1.25);
  }

  @Test
  void aBusyMachineIsNoted() {
    assertThat(Machine.note(1.0, 2)).isEmpty();
    assertThat(Machine.note(1.1, 2)).isPresent();
  }
}
