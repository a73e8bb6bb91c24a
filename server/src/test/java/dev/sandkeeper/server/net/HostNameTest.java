package dev.sandkeeper.server.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class HostNameTest {
  @ParameterizedTest
  @CsvSource({
    "example.com, example.com",
    "EXAMPLE.Com, example.com",
    "INDEX.EXAMPLE.COM, index.example.com",
    "example.com., example.com",
    "1.a2.example-3.com, 1.a2.example-3.com",
    "bücher.example, xn--bcher-kva.example",
    "BÜCHER.example, xn--bcher-kva.example",
    "XN--BCHER-KVA.example, xn--bcher-kva.example",
    "例え.テスト, xn--r8jz45g.xn--zckzah"
  })
  void everyNameHasOneForm(String text, String name) {
    assertThat(HostName.of(text)).hasToString(name);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        ".",
        "localhost",
        "com.",
        "example..com",
        ".example.com",
        "example.com..",
        "-a.example",
        "a-.example",
        "a_b.example",
        "a b.example",
        "a.example\0",
        "a.example\0.example.com",
        "a.example:80",
        "user@a.example",
        "a/b.example",
        "*.example.com",
        "127.0.0.1",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "127.0.0.0x1",
        "127.0.0.0X",
        "1.2.3.4.",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
        // Of more than one reading: 2003's standard takes them for strasse.example and the like.
        "straße.example",
        "１２７.0.0.1",
        "example。com",
        "ex\u00adample.com"
      })
  void whatIsNoFullNameIsRefused(String text) {
    assertThatIllegalArgumentException().isThrownBy(() -> HostName.of(text));
  }

  @Test
  void lengthsAreBounded() {
    String label = "a".repeat(63);
    String longest = label + "." + label + "." + label + "." + "a".repeat(61);

    assertThat(HostName.of(longest).value()).hasSize(HostName.MAX_LENGTH);
    assertThatIllegalArgumentException().isThrownBy(() -> HostName.of(longest + "a"));
    assertThatIllegalArgumentException().isThrownBy(() -> HostName.of(label + "a.example"));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"1.2.3.4", "1.2.3.4.", "0x7f000001", "2130706433", "017700000001", "[::1]", "::1"})
  void whatSomeProgramTakesForAnAddressIsKnown(String text) {
    assertThat(HostName.mayBeAddress(text)).isTrue();
  }
}
