package dev.sandkeeper.server.secret;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.Base64;
import org.junit.jupiter.api.Test;

/** What is encrypted is read in its place, by its key. */
class SecretBoxTest {
  private final SecretBox box = box("0123456789abcdef0123456789abcdef");

  @Test
  void whatIsSealedIsOpenedInItsPlaceOnly() {
    byte[] sealed = box.seal("secret default A", "välue");

    assertThat(box.open("secret default A", sealed)).contains("välue");
    assertThat(box.open("secret default B", sealed)).isEmpty();
    assertThat(box.open("secret other A", sealed)).isEmpty();
  }

  @Test
  void anotherKeyOrAChangedByteOpensNothing() {
    byte[] sealed = box.seal("place", "value");

    assertThat(box("fedcba9876543210fedcba9876543210").open("place", sealed)).isEmpty();
    for (int i = 0; i < sealed.length; i++) {
      byte[] changed = sealed.clone();
      changed[i] ^= 1;
      assertThat(box.open("place", changed)).isEmpty();
    }
  }

  @Test
  void theSameValueIsSealedOtherwiseEachTimeAndHasOneFingerprint() {
    assertThat(box.seal("place", "value")).isNotEqualTo(box.seal("place", "value"));
    assertThat(box.fingerprint("A", "value"))
        .hasSize(32)
        .isEqualTo(box.fingerprint("A", "value"))
        .isNotEqualTo(box.fingerprint("A", "other"));
  }

  @Test
  void aKeyOfAnotherLengthIsRefused() {
    assertThatThrownBy(() -> box("short")).isInstanceOf(IllegalArgumentException.class);
  }

  private static SecretBox box(String key) {
    return new SecretBox(
        Base64.getEncoder().encodeToString(key.getBytes(StandardCharsets.US_ASCII)),
        new SecureRandom());
  }
}
