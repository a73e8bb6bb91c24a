package dev.sandkeeper.server.alert;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandkeeperException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class WebhookUrlTest {
  @ParameterizedTest
  @ValueSource(
      strings = {
        "https://example.com",
        "http://example.com:8080/a/b?c=d",
        "https://EXAMPLE.com./",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1::1]:65535/",
        "https://xn--bcher-kva.example/"
      })
  void urlOfAHostIsTaken(String text) {
    assertThat(WebhookUrl.of(text).uri()).hasToString(text);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "ftp://example.com/ | expected: http or https",
        "HTTP://example.com/ | expected: http or https",
        "file:///etc/passwd | expected: http:// or https://",
        "https:/example.com | expected: http:// or https://",
        "example.com | expected: http:// or https://",
        "https:// | expected: http:// or https://",
        "https://user@example.com/ | has a user (expected: none)",
        "https://user:word@example.com/ | has a user (expected: none)",
        "https://example.com/#top | has a fragment (expected: none)",
        "https://example.com:0/ | port 0 (expected: 1 to 65535)",
        "https://example.com:65536/ | port 65536 (expected: 1 to 65535)",
        "https://example.com:80x/ | expected: http:// or https://",
        "https://exämple.com/ | expected: printable ASCII",
        "https://example.com/a b | expected: printable ASCII",
        "https://a_b.example/ | expected: http:// or https://",
        "https://2130706433/ | expected",
        "https://0x7f000001/ | expected",
        "https://0x7f.1/ | expected",
        "https://0177.0.0.1/ | expected: four decimal numbers",
        "https://127.1/ | expected",
        "https://127.0.0.1./ | expected",
        "https://256.0.0.1/ | expected",
        "https://[fe80::1%25eth0]/ | expected: an address without a zone",
        "https://[::1/ | expected: http:// or https://"
      })
  void otherUrlIsRefusedWithWhatIsExpected(String text, String description) {
    FieldViolation violation = violation(text);

    assertThat(violation.field()).isEqualTo("url");
    assertThat(violation.description()).contains(description).doesNotContain("word");
  }

  @Test
  void longUrlIsRefused() {
    String longest = "https://example.com/" + "a".repeat(2028);

    assertThat(WebhookUrl.of(longest).uri()).hasToString(longest);
    assertThat(violation(longest + "a").description())
        .isEqualTo("2049 characters (expected: at most 2048)");
  }

  @Test
  void whatIsShownHasNoPath() {
    assertThat(WebhookUrl.of("https://example.com:8443/secret?token=x").origin())
        .isEqualTo("https://example.com:8443");
  }

  private static FieldViolation violation(String text) {
    return catchThrowableOfType(SandkeeperException.class, () -> WebhookUrl.of(text))
        .violations()
        .getFirst();
  }
}
