package dev.sandkeeper.server.engine.guest;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Any bytes become text and the same bytes again. */
class FileNamesTest {

  @ParameterizedTest
  @CsvSource({
    "'', ''",
    "61ff62, a\uEFFFb",
    "80, \uEF80",
    "c3bc, ü",
    "c3, \uEFC3",
    "f09f9880, \uD83D\uDE00",
    "f09f98, \uEFF0\uEF9F\uEF98",
    // A surrogate, and an overlong slash.
    "eda080, \uEFED\uEFA0\uEF80",
    "c0af, \uEFC0\uEFAF",
    // U+EF80 itself, and its neighbours.
    "eebe80, \uEFEE\uEFBE\uEF80",
    "eebdbf, \uEF7F",
    "ef8080, \uF000"
  })
  void textIsOneForEachName(String hex, String text) {
    byte[] name = HexFormat.of().parseHex(hex);

    assertThat(FileNames.decode(name)).isEqualTo(text);
    assertThat(FileNames.encode(text)).isEqualTo(name);
  }

  @Test
  void anyBytesComeBack() {
    Random random = new Random(7);
    for (int i = 0; i < 10_000; i++) {
      byte[] name = new byte[random.nextInt(12)];
      random.nextBytes(name);
      String text = FileNames.decode(name);

      assertThat(FileNames.encode(text)).isEqualTo(name);
      assertThat(text)
          .isEqualTo(new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8));
    }
  }
}
