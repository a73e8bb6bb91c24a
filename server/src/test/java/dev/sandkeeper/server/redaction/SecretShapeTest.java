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
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Goal: A secret is not shown in any encoding that anybody would try first, wherever it is cut.
 *
 * <p>Method: What real encoders made of three secrets, of plain, odd and other letters, literally;
 * and what those of the JDK make of others.
 */
class SecretShapeTest {
  private static final long SEED = 20_251_129;
  private static final String MARK = "[redacted:secret:NAME]";

  private static final String PLAIN = "ab+c/d==efgh";
  private static final String ODD = "p~w!x'(y)*z&<Q>\"%\\ /+e";
  private static final String LETTERS = "Kühl&schränk😀";

  /** What a program writes of a secret, with {@code #} for the mark in what is shown. */
  static Stream<Arguments> encoded() {
    return Stream.of(
        // Python: urllib.parse.quote, the same with safe="", and quote_plus.
        written(PLAIN, "ab%2Bc/d%3D%3Defgh"),
        written(PLAIN, "ab%2Bc%2Fd%3D%3Defgh"),
        written(ODD, "p~w%21x%27%28y%29%2Az%26%3CQ%3E%22%25%5C%20/%2Be"),
        written(ODD, "p~w%21x%27%28y%29%2Az%26%3CQ%3E%22%25%5C+%2F%2Be"),
        written(LETTERS, "K%C3%BChl%26schr%C3%A4nk%F0%9F%98%80"),
        // JavaScript: encodeURIComponent, encodeURI, escape, URLSearchParams.
        written(ODD, "p~w!x'(y)*z%26%3CQ%3E%22%25%5C%20%2F%2Be"),
        written(ODD, "p~w!x'(y)*z&%3CQ%3E%22%25%5C%20/+e"),
        written(ODD, "p%7Ew%21x%27%28y%29*z%26%3CQ%3E%22%25%5C%20/+e"),
        written(ODD, "p%7Ew%21x%27%28y%29*z%26%3CQ%3E%22%25%5C+%2F%2Be"),
        // Go: url.PathEscape. Perl, with digits in lower case.
        written(ODD, "p~w%21x%27%28y%29%2Az&%3CQ%3E%22%25%5C%20%2F+e"),
        written(ODD, "p%7ew%21x%27%28y%29%2az%26%3cQ%3e%22%25%5c%20%2f%2be"),
        // JSON of Python and JavaScript, of Go, of PHP; repr() of Python's text and bytes.
        written(ODD, "p~w!x'(y)*z&<Q>\\\"%\\\\ /+e"),
        written(ODD, "p~w!x'(y)*z\\u0026\\u003cQ\\u003e\\\"%\\\\ /+e"),
        written(ODD, "p~w!x'(y)*z&<Q>\\\"%\\\\ \\/+e"),
        written(ODD, "p~w!x\\'(y)*z&<Q>\"%\\\\ /+e"),
        written(LETTERS, "K\\u00fchl&schr\\u00e4nk\\ud83d\\ude00"),
        written(LETTERS, "K\\xc3\\xbchl&schr\\xc3\\xa4nk\\xf0\\x9f\\x98\\x80"),
        written(LETTERS, "K\\303\\274hl&schr\\303\\244nk\\360\\237\\230\\200"),
        written(PLAIN, "\\x61\\x62\\x2b\\x63\\x2f\\x64\\x3d\\x3d\\x65\\x66\\x67\\x68"),
        // printf %q of bash.
        written(ODD, "p~w\\!x\\'\\(y\\)\\*z\\&\\<Q\\>\\\"%\\\\\\ /+e"),
        // HTML of Python, Go and PHP.
        written(ODD, "p~w!x&#x27;(y)*z&amp;&lt;Q&gt;&quot;%\\ /+e"),
        written(ODD, "p~w!x&#39;(y)*z&amp;&lt;Q&gt;&#34;%\\ /+e"),
        written(ODD, "p~w!x&#039;(y)*z&amp;&lt;Q&gt;&quot;%\\ /+e"),
        // base32, base32 -w 11, and Python's with none to four bytes before; digits that are partly
        // of other bytes stay.
        written(PLAIN, "#A====", "MFRCWYZPMQ6T2ZLGM5UA===="),
        written(PLAIN, "#A==\n==", "MFRCWYZPMQ6\nT2ZLGM5UA==\n=="),
        written(PLAIN, "#HS6Q=", "MFRCWYZPMQ6T2ZLGM5UHS6Q="),
        written(PLAIN, "PB#Q6L2", "PBQWEK3DF5SD2PLFMZTWQ6L2"),
        written(PLAIN, "PB4G#DZPI======", "PB4GCYRLMMXWIPJ5MVTGO2DZPI======"),
        written(PLAIN, "PB4HQ#PF5A====", "PB4HQYLCFNRS6ZB5HVSWMZ3IPF5A===="),
        written(PLAIN, "PB4HQ6D#B4XU===", "PB4HQ6DBMIVWGL3EHU6WKZTHNB4XU==="),
        // UTF-16 of both orders.
        written(PLAIN, "#\0", "a\0b\0+\0c\0/\0d\0=\0=\0e\0f\0g\0h\0"),
        written(PLAIN, "\0#", "\0a\0b\0+\0c\0/\0d\0=\0=\0e\0f\0g\0h"),
        // Numbers as of Python, Go, Node and od, and of Java and JavaScript with signs.
        written(PLAIN, "[#]", "[97, 98, 43, 99, 47, 100, 61, 61, 101, 102, 103, 104]"),
        written(PLAIN, "[#]", "[97 98 43 99 47 100 61 61 101 102 103 104]"),
        written(PLAIN, "[#]", "[97,98,43,99,47,100,61,61,101,102,103,104]"),
        written(
            PLAIN,
            "[\n  #\n]",
            "[\n  97,  98,  43,  99,\n  47, 100,  61,  61,\n 101, 102, 103, 104\n]"),
        written(
            LETTERS,
            "[#]",
            "[75, -61, -68, 104, 108, 38, 115, 99, 104, 114, -61, -92, 110, 107, -16, -97, -104,"
                + " -128]"),
        // xxd -i, Go's %#v, od -An -tx1, Node's Buffer, .NET's BitConverter.
        written(
            PLAIN,
            "  #\n",
            "  0x61, 0x62, 0x2b, 0x63, 0x2f, 0x64, 0x3d, 0x3d, 0x65, 0x66, 0x67, 0x68\n"),
        written(
            "first\nline", "{#}", "{0x66, 0x69, 0x72, 0x73, 0x74, 0xa, 0x6c, 0x69, 0x6e, 0x65}"),
        written(PLAIN, " #\n", " 61 62 2b 63 2f 64\n 3d 3d 65 66 67 68\n"),
        written(PLAIN, "<Buffer #>", "<Buffer 61 62 2b 63 2f 64 3d 3d 65 66 67 68>"),
        written(PLAIN, "61-62-2B-63-2F-64-3D-3D-65-66-67-68"),
        // Base64, also as in URLs, of what has both special digits.
        written("??>>~~~ÿÿ?>?>x", "#A==", "Pz8+Pn5+fsO/w78/Pj8+eA=="),
        written("??>>~~~ÿÿ?>?>x", "#A==", "Pz8-Pn5-fsO_w78_Pj8-eA=="),
        written("??>>~~~ÿÿ?>?>x", "#A%3D%3D", "Pz8%2BPn5%2BfsO/w78/Pj8%2BeA%3D%3D"));
  }

  private static Arguments written(String secret, String text) {
    return written(secret, "#", text);
  }

  private static Arguments written(String secret, String shown, String text) {
    return Arguments.of(secret, shown, text);
  }

  @ParameterizedTest
  @MethodSource("encoded")
  void whatEncodersMakeOfItIsNotShownWhereverItIsCut(String secret, String shown, String text) {
    Redaction redaction = Redaction.knownKeys().withSecret("NAME", secret);
    String expected = "<" + shown.replace("#", MARK) + "|";
    assertThat(redaction.redact("<" + text + "|")).isEqualTo(expected);
    byte[] bytes = ("<" + text + "|").getBytes(StandardCharsets.UTF_8);
    for (int cut = 1; cut < bytes.length; cut++) {
      StreamRedactor redactor = new StreamRedactor(redaction);
      ByteArrayOutputStream first = new ByteArrayOutputStream();
      ByteArrayOutputStream second = new ByteArrayOutputStream();
      redactor.accept(bytes, 0, cut, first);
      redactor.accept(bytes, cut, bytes.length, second);
      redactor.letGo();
      first.writeBytes(second.toByteArray());
      assertThat(first.toString(StandardCharsets.UTF_8)).as("cut at " + cut).isEqualTo(expected);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"4b00fc0068006c002600730063006800", "004b00fc0068006c0026007300630068"})
  void utf16OfOtherLettersIsNotShown(String hex) {
    Redaction redaction = Redaction.none().withSecret("NAME", LETTERS.substring(0, 8));
    String shown =
        new String(redaction.redact(HexFormat.of().parseHex(hex)), StandardCharsets.ISO_8859_1);
    assertThat(shown.replace("\0", "")).isEqualTo(MARK);
  }

  @Test
  void aLongSecretIsHiddenToItsEndHoweverItGoesOn() {
    String secret = "the same as it is in all ways for long, then/with&ähnlichen";
    Redaction redaction = Redaction.none().withSecret("NAME", secret);
    for (String end :
        List.of("/with&ähnlichen", "%2Fwith%26%C3%A4hnlichen", "/with&amp;\\u00e4hnlichen")) {
      String text = secret.replace("/with&ähnlichen", end);
      assertThat(redaction.redact(text + " " + text)).isEqualTo(MARK + " " + MARK);
    }
  }

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
