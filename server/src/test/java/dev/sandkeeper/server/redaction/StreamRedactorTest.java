package dev.sandkeeper.server.redaction;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Goal: No key and no secret is shown, wherever it stands and wherever the stream is cut or let go.
 *
 * <p>Method: Keys made up here, each in parts, so that no scanner of this repository takes one for
 * real; secrets within what may be the beginning of a key or of another secret.
 */
class StreamRedactorTest {
  private static final long SEED = 20_251_129;
  private static final String MIXED =
      "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0dF3hJ6kL9nP2rS5tV8xZ1aB4cD7eF0g";

  static Stream<Arguments> keys() {
    return Stream.of(
        key("aws-access-key-id", "AKIA", "ABCDEFGH12345678"),
        key("github-token", "ghp_", MIXED.substring(0, 36)),
        key("github-token", "github_pat_", MIXED.substring(0, 22) + "_" + MIXED),
        key("gitlab-token", "glpat-", MIXED.substring(0, 20)),
        key("anthropic-key", "sk-ant-", "api03-" + MIXED),
        key("openai-key", "sk-", MIXED.substring(0, 48)),
        key("openai-key", "sk-", "proj-" + MIXED),
        key("slack-token", "xoxb-", "123456789012-" + MIXED.substring(0, 24)),
        key("slack-webhook", "hooks.slack.com/services/", "T0000/B0000/" + MIXED.substring(0, 24)),
        key("stripe-key", "sk_live_", MIXED.substring(0, 24)),
        key("webhook-secret", "whsec_", MIXED.substring(0, 32)),
        key("sandkeeper-key", "sk_", "abcdefghij0123456789abcdefghij0123456789"),
        key("google-api-key", "AIza", MIXED.substring(0, 35)),
        key("google-oauth-token", "ya29.", MIXED),
        key("npm-token", "npm_", MIXED.substring(0, 36)),
        key("pypi-token", "pypi-", MIXED),
        key("huggingface-token", "hf_", MIXED.substring(0, 34)),
        key("sendgrid-key", "SG.", MIXED.substring(0, 22) + "." + MIXED.substring(0, 43)),
        key("azure-storage-key", "AccountKey=", MIXED + MIXED.substring(0, 25) + "=="),
        key("jwt", "eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0." + MIXED),
        key("private-key", "-----BEGIN ", pem("PRIVATE KEY")),
        key("private-key", "-----BEGIN ", pem("OPENSSH PRIVATE KEY")),
        key("private-key", "-----BEGIN ", pem("RSA PRIVATE KEY").replace("\n", "\\n")));
  }

  @ParameterizedTest
  @MethodSource("keys")
  void aKeyIsNotShownWhereverItStands(String mark, String prefix, String rest) {
    for (String before : List.of("", " ", "token=", "\"", "\\n", "%20", "\n", ":")) {
      for (String after : List.of("", " ", "\n", "\"}", "' ", ", \n")) {
        assertThat(redacted(before + prefix + rest + after)).isEqualTo(before + mark + after);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("keys")
  void aKeyIsNotShownWhereverItIsCut(String mark, String prefix, String rest) {
    String text = "a " + prefix + rest + "\nb " + prefix + rest + " c";
    String expected = "a " + mark + "\nb " + mark + " c";
    for (int first = 1; first < text.length(); first++) {
      for (int second : new int[] {first, first + 1, first + 3, first + 20}) {
        int cut = Math.min(second, text.length());
        Shown shown = new Shown();
        shown.write(text.substring(0, first));
        shown.write(text.substring(first, cut));
        shown.write(text.substring(cut));
        assertThat(unprefixed(shown.end(), prefix, mark)).isEqualTo(expected);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("keys")
  void ofAKeyWhoseBeginningWasLetGoTheRestIsNotShown(String mark, String prefix, String rest) {
    for (int cut = 1; cut < rest.length(); cut++) {
      Shown shown = new Shown();
      shown.write(" " + prefix + rest.substring(0, cut));
      shown.letGo();
      String let = shown.text();
      shown.write(rest.substring(cut) + "\n");
      String all = shown.end();
      assertThat(all).isEqualTo((let.endsWith(mark) ? let : let + mark) + "\n");
    }
  }

  @ParameterizedTest
  @MethodSource("keys")
  void ofAKeyThatAnEarlierServerShowedABeginningOfTheRestIsNotShown(
      String mark, String prefix, String rest) {
    for (int cut = 0; cut < rest.length(); cut++) {
      Shown before = new Shown();
      before.write(" " + prefix + rest.substring(0, cut));
      before.letGo();
      Shown after = new Shown();
      after.redactor.resume(before.bytes());
      after.write(rest.substring(cut) + "\n");
      // Of a private key that was cut in its last line the end is not found.
      assertThat(after.end())
          .isIn(before.text().endsWith(mark) ? "\n" : mark + "\n", "[redacted:private-key]");
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "password: ",
        "Continue? [y/n] ",
        ">>> ",
        "$ ",
        "name",
        "/home/user/e",
        "task",
        "A",
        "gh",
        "-----BEGIN CERTIFICATE-----\n",
        "risk-averse"
      })
  void whatSomebodyWaitsForIsShownAtOnce(String prompt) {
    Shown shown = new Shown();
    shown.write(prompt);
    assertThat(shown.text()).isEqualTo(prompt);
    assertThat(shown.redactor.pending()).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "sk-estimator-doc-link-and-more-of-the-style",
        "task-Force1234567890abcdefghijk",
        "eyJhbGciOiJIUzI1NiJ9 is only a head, without its body",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "ghp_short",
        "MAKIAVELLI1234567890123",
        "1234567890AKIA"
      })
  void whatIsNoKeyIsShownAsItIs(String text) {
    assertThat(redacted(text)).isEqualTo(text);
  }

  @Test
  void anyChunksOfAnyBytesComeToTheSame() {
    Random random = new Random(SEED);
    List<String> pieces = new ArrayList<>();
    keys()
        .forEach(key -> {
          pieces.add((String) key.get()[1] + key.get()[2]);
          pieces.add((String) key.get()[1]);
        });
    for (int round = 0; round < 300; round++) {
      ByteArrayOutputStream all = new ByteArrayOutputStream();
      for (int i = 0; i < 20; i++) {
        all.writeBytes(
            random.nextInt(3) == 0
                ? pieces.get(random.nextInt(pieces.size())).getBytes(StandardCharsets.UTF_8)
                : noise(random));
      }
      byte[] bytes = all.toByteArray();
      byte[] expected = Redaction.knownKeys().redact(bytes);
      Shown shown = new Shown();
      for (int at = 0; at < bytes.length; ) {
        int count = Math.min(bytes.length - at, 1 + random.nextInt(random.nextBoolean() ? 5 : 200));
        shown.write(bytes, at, at + count);
        at += count;
      }
      shown.letGo();
      assertThat(unmarked(shown.bytes())).as("round " + round).isEqualTo(unmarked(expected));
    }
  }

  /** What comes before a secret, how it is written, and what follows. */
  static Stream<Arguments> secretsBehindBeginnings() {
    return Stream.of(
        // btoa(JSON.stringify({pw: "hunter2pw"})), which begins as a JSON web token does.
        Arguments.of("eyJwdyI6Im", "h1bnRlcjJwd", "yJ9"),
        Arguments.of("eyJ", "hunter2pw", ""),
        Arguments.of("eyJ", "hunter2pw", "/and+more"),
        Arguments.of("eyJ", "68756e7465723270" + "77", "-"),
        Arguments.of("sk-eyJ", "hunter2pw", "eyJ"),
        Arguments.of("postgres://u:", "hunter2pw", ""),
        Arguments.of("postgres://u:", "hunter2pw", "@"),
        Arguments.of("postgres://u:", "hunter2pw", "\n"),
        Arguments.of("-----BEGIN ", "HUNTER2PW", " "));
  }

  private static Redaction withUrlAndPasswords() {
    return Redaction.knownKeys()
        .withSecret("PW", "hunter2pw")
        .withSecret("PW", "HUNTER2PW")
        .withSecret("URL", "postgres://u:hunter2pw@h/db");
  }

  @ParameterizedTest
  @MethodSource("secretsBehindBeginnings")
  void aSecretBehindTheBeginningOfAKeyIsNotShown(String before, String secret, String after) {
    String expected = before + "[redacted:secret:PW]" + after;
    assertThat(withUrlAndPasswords().redact(before + secret + after)).isEqualTo(expected);
    String text = before + secret + after;
    for (int cut = 0; cut <= text.length(); cut++) {
      Shown shown = new Shown(withUrlAndPasswords());
      shown.write(text.substring(0, cut));
      shown.write(text.substring(cut));
      assertThat(shown.end()).as("cut at " + cut).isEqualTo(expected);
    }
  }

  @ParameterizedTest
  @MethodSource("secretsBehindBeginnings")
  void ofASecretBehindTheBeginningOfAKeyIsShownWhatWasLetGoBeforeItWasKnown(
      String before, String secret, String after) {
    String text = before + secret + after;
    for (int cut = 0; cut <= text.length(); cut++) {
      Shown shown = new Shown(withUrlAndPasswords());
      shown.write(text.substring(0, cut));
      shown.letGo();
      shown.write(text.substring(cut));
      shown.letGo();
      shown.write("\n");
      int known = Math.max(0, cut - before.length());
      String let = known < secret.length() ? secret.substring(0, known) : "";
      assertThat(shown.end())
          .as("let go at " + cut)
          .isEqualTo(before + let + "[redacted:secret:PW]" + after + "\n");
    }
  }

  @Test
  void whatGoesOnBehindASecretThatWasLetGoIsStillKnown() {
    Shown shown = new Shown(withUrlAndPasswords());
    shown.write("postgres://u:hunter2pw");
    shown.letGo();
    assertThat(shown.text()).isEqualTo("postgres://u:[redacted:secret:PW]");
    shown.write("@h/");
    shown.letGo();
    shown.write("db\n");
    assertThat(shown.end())
        .isEqualTo("postgres://u:[redacted:secret:PW]@h/[redacted:secret:URL]\n");
  }

  @Test
  void theRestOfAKeyBehindTheBeginningOfAnotherIsNotShown() {
    Shown shown = new Shown(Redaction.knownKeys());
    shown.write("eyJ-ghp_" + MIXED.substring(0, 40));
    shown.letGo();
    assertThat(shown.text()).isEqualTo("eyJ-[redacted:github-token]");
    shown.write(MIXED.substring(40));
    shown.letGo();
    shown.write(" and more");
    assertThat(shown.end()).isEqualTo("eyJ-[redacted:github-token] and more");
  }

  @ParameterizedTest
  @ValueSource(strings = {"eyJ", "-eyJ", "sk-"})
  @Timeout(20)
  void manyBeginningsTakeNoLongerThanOtherText(String beginning) {
    String text = beginning.repeat(3_000_000 / beginning.length());
    assertThat(redacted(text)).isEqualTo(text);
  }

  @Test
  void imagesStayAsTheyAre() {
    byte[] text = ("ghp_" + MIXED).getBytes(StandardCharsets.UTF_8);
    assertThat(Redaction.knownKeys().redactValues(Map.of("image/png", text)))
        .containsEntry("image/png", text);
    assertThat(Redaction.knownKeys().redactValues(Map.of("text/html", text)).get("text/html"))
        .asString()
        .isEqualTo("[redacted:github-token]");
  }

  /** Takes away what may be shown of a key's prefix when it is cut there. */
  private static String unprefixed(String text, String prefix, String mark) {
    String visible = mark.contains("private-key") ? prefix + "OPENSSH PRIVATE KE" : prefix;
    String known = mark.contains("private-key") ? "-----BEGIN [A-Z ]*" : Pattern.quote(prefix);
    StringBuilder parts = new StringBuilder(known);
    for (int i = visible.length() - 1; i > 0; i--) {
      parts.append('|').append(Pattern.quote(visible.substring(0, i)));
    }
    return text.replaceAll("([ab] )(?:" + parts + ")" + Pattern.quote(mark), "$1" + mark);
  }

  /** Takes away what may be shown of keys that are cut: prefixes, which anybody knows. */
  private static String unmarked(byte[] bytes) {
    return new String(bytes, StandardCharsets.ISO_8859_1)
        .replaceAll("([-A-Za-z0-9_. /=]*\\[redacted:[-a-z]*\\])+", "*");
  }

  private static byte[] noise(Random random) {
    byte[] bytes = new byte[random.nextInt(60)];
    random.nextBytes(bytes);
    return random.nextBoolean() ? bytes : Base64.getEncoder().encode(bytes);
  }

  private static Arguments key(String mark, String prefix, String rest) {
    return Arguments.of("[redacted:" + mark + "]", prefix, rest);
  }

  private static String pem(String label) {
    return label + "-----\n" + MIXED + "\n" + MIXED + "+/=\n-----END " + label + "-----";
  }

  private static String redacted(String text) {
    return Redaction.knownKeys().redact(text);
  }

  /** What is shown of a stream. */
  private static final class Shown {
    final StreamRedactor redactor;
    private final List<ByteArrayOutputStream> targets = new ArrayList<>();

    Shown() {
      this(Redaction.knownKeys());
    }

    Shown(Redaction redaction) {
      this.redactor = new StreamRedactor(redaction);
    }

    void write(String text) {
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      write(bytes, 0, bytes.length);
    }

    void write(byte[] bytes, int from, int to) {
      ByteArrayOutputStream target = new ByteArrayOutputStream();
      targets.add(target);
      if (redactor.passes(bytes, from, to)) {
        target.write(bytes, from, to - from);
      } else {
        redactor.accept(bytes, from, to, target);
      }
    }

    void letGo() {
      redactor.letGo();
    }

    byte[] bytes() {
      ByteArrayOutputStream all = new ByteArrayOutputStream();
      targets.forEach(target -> all.writeBytes(target.toByteArray()));
      return all.toByteArray();
    }

    String text() {
      return new String(bytes(), StandardCharsets.UTF_8);
    }

    String end() {
      letGo();
      return text();
    }
  }
}
