package dev.sandkeeper.server.redaction;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A secret in every encoding that anybody would try first. */
class SecretShapeTest {
  private static final long SEED = 20_251_129;
  private static final String MARK = "[redacted:secret:NAME]";

  @ParameterizedTest
  @ValueSource(
      strings = {
        "hunter2-hunter2",
        "8 bytes!",
        "p@ss/w%rd+\"quoted\\\" & more",
        "Kühlschränke über Öl",
        "first line of it\nsecond line of it\n\nthe last",
        "postgresql://user:Pa55w0rd@db.example.com:5432/main?sslmode=require&x=1"
      })
  void noEncodingIsShown(String secret) {
    Redaction redaction = Redaction.none().withSecret("NAME", secret);
    byte[] bytes = secret.getBytes(StandardCharsets.UTF_8);
    List<String> written = new ArrayList<>();
    written.add(secret);
    written.add(new StringBuilder(secret).reverse().toString());
    written.add(HexFormat.of().formatHex(bytes));
    written.add(HexFormat.of().withUpperCase().formatHex(bytes));
    written.add(HexFormat.ofDelimiter(" ").formatHex(bytes));
    written.add(HexFormat.ofDelimiter(":").formatHex(bytes));
    written.add(URLEncoder.encode(secret, StandardCharsets.UTF_8));
    written.add(URLEncoder.encode(secret, StandardCharsets.UTF_8).replace("+", "%20"));
    written.add(secret.replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n"));
    for (String text : written) {
      assertThat(redaction.redact("a " + text + " b")).as(text).isEqualTo("a " + MARK + " b");
    }
    for (int before = 0; before < 3; before++) {
      for (int after = 0; after < 3; after++) {
        byte[] within =
            ("xyz".substring(3 - before) + secret + "xyz".substring(3 - after))
                .getBytes(StandardCharsets.UTF_8);
        for (Base64.Encoder encoder : List.of(Base64.getEncoder(), Base64.getUrlEncoder())) {
          String text = encoder.encodeToString(within);
          assertThat(redaction.redact(text))
              .as(text)
              .contains(MARK)
              .hasSizeLessThan(MARK.length() + 11);
        }
      }
    }
  }

  @Test
  void linesOfBase64AndHexAreOne() {
    String secret =
        "a secret of more than one line of a dump, as private keys and such things are it";
    Redaction redaction = Redaction.none().withSecret("NAME", secret);
    Random random = new Random(SEED);
    for (int before = 0; before < 120; before++) {
      byte[] noise = new byte[before];
      random.nextBytes(noise);
      ByteArrayOutputStream all = new ByteArrayOutputStream();
      all.writeBytes(noise);
      all.writeBytes(secret.getBytes(StandardCharsets.UTF_8));
      all.writeBytes(noise);
      for (String end : List.of("\n", "\r\n")) {
        String wrapped =
            Base64.getMimeEncoder(76, end.getBytes(StandardCharsets.UTF_8))
                .encodeToString(all.toByteArray());
        assertThat(redaction.redact(wrapped)).as(wrapped).containsOnlyOnce(MARK);
        String hex = HexFormat.of().formatHex(all.toByteArray()).replaceAll("(.{60})", "$1" + end);
        assertThat(redaction.redact(hex)).as(hex).containsOnlyOnce(MARK);
      }
    }
  }

  @Test
  void everyLineOfASecretIsOne() {
    Redaction redaction =
        Redaction.none()
            .withSecret("NAME", "-----BEGIN-----\nMIIEowIBAAKCAQEA\nabcd\n-----END-----");
    assertThat(redaction.redact("> MIIEowIBAAKCAQEA\n> abcd")).isEqualTo("> " + MARK + "\n> abcd");
  }

  @Test
  void aSecretIsNotShownWhereverItIsCut() {
    String secret = "correct horse battery staple, and then some more of it";
    Redaction redaction = Redaction.knownKeys().withSecret("NAME", secret);
    String text =
        "a "
            + secret
            + " b "
            + Base64.getEncoder().encodeToString(secret.getBytes(StandardCharsets.UTF_8))
            + "\n";
    String expected = redaction.redact(text);
    assertThat(expected).startsWith("a " + MARK + " b " + MARK);
    for (int size = 1; size < 60; size++) {
      ByteArrayOutputStream shown = new ByteArrayOutputStream();
      StreamRedactor redactor = new StreamRedactor(redaction);
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      List<ByteArrayOutputStream> targets = new ArrayList<>();
      for (int at = 0; at < bytes.length; at += size) {
        ByteArrayOutputStream target = new ByteArrayOutputStream();
        targets.add(target);
        redactor.accept(bytes, at, Math.min(bytes.length, at + size), target);
      }
      redactor.letGo();
      targets.forEach(target -> shown.writeBytes(target.toByteArray()));
      assertThat(shown.toString(StandardCharsets.UTF_8)).as("" + size).isEqualTo(expected);
    }
  }

  @Test
  void whatIsNotTheSecretIsShown() {
    Redaction redaction = Redaction.none().withSecret("NAME", "correct horse battery");
    for (String text : List.of("correct horse", "correct horse batter", "Correct horse battery")) {
      assertThat(redaction.redact(text)).isEqualTo(text);
    }
  }
}
