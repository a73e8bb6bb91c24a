package dev.sandkeeper.server.redaction;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/**
 * A kind of key that can be told by how it looks: a prefix, and enough characters of an alphabet
 * behind it.
 */
final class KeyShape implements Shape {
  /** What is not known for a key behind so many characters is none. */
  private static final int MAX_UNKNOWN_BYTES = 1024;

  private static final int MAX_BYTES = 16 * 1024;

  /**
   * No key has its own prefix in it so often. So output made of prefixes is gone through that often
   * and not once from each of them.
   */
  private static final int MAX_PREFIXES = 5;

  private static final String LOWER = "abcdefghijklmnopqrstuvwxyz";
  private static final String UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  private static final String DIGITS = "0123456789";
  private static final String PLAIN = LOWER + UPPER + DIGITS;
  private static final String URL_SAFE = PLAIN + "-_";

  private final byte[] mark;
  private final byte[] prefix;
  private final boolean[] alphabet = new boolean[1 << Byte.SIZE];
  private final int fewest;
  private final boolean isWord;
  private final boolean isMixed;
  private final byte[] infix;

  /**
   * Describes a shape.
   *
   * @param fewest how many characters follow the prefix at least
   * @param isWord whether it begins behind no letter, digit or underscore
   * @param isMixed whether there are small and capital letters and digits among them
   * @param infix what is somewhere among them; may be empty
   */
  private KeyShape(
      String name,
      String prefix,
      String alphabet,
      int fewest,
      boolean isWord,
      boolean isMixed,
      String infix) {
    this.mark = Redaction.mark(name);
    this.prefix = prefix.getBytes(StandardCharsets.US_ASCII);
    alphabet.chars().forEach(character -> this.alphabet[character] = true);
    this.fewest = fewest;
    this.isWord = isWord;
    this.isMixed = isMixed;
    this.infix = infix.getBytes(StandardCharsets.US_ASCII);
  }

  /**
   * Returns the known shapes; of two that begin alike the more particular comes first. Those of one
   * name have one alphabet, so that the mark tells how a key goes on.
   */
  static List<Shape> known() {
    return Stream.of(
            words("aws-access-key-id", UPPER + DIGITS, 16, "AKIA", "ASIA"),
            keys("github-token", PLAIN + "_", 36, "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
            keys("github-token", PLAIN + "_", 22, "github_pat_"),
            keys("gitlab-token", URL_SAFE, 20, "glpat-"),
            keys("anthropic-key", URL_SAFE, 20, "sk-ant-"),
            // Names of styles and modules begin so too, but have not letters of both kinds and
            // digits.
            Stream.of(new KeyShape("openai-key", "sk-", URL_SAFE, 24, true, true, "")),
            keys("slack-token", PLAIN + "-.", 20, "xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-"),
            keys("slack-token", PLAIN + "-.", 20, "xoxe-", "xoxe.", "xapp-"),
            keys("slack-webhook", PLAIN + "/", 20, "hooks.slack.com/services/"),
            keys("stripe-key", PLAIN, 16, "sk_live_", "sk_test_", "rk_live_", "rk_test_"),
            keys("webhook-secret", PLAIN + "+/=", 24, "whsec_"),
            keys("sandkeeper-key", LOWER + DIGITS, 40, "sk_"),
            keys("google-api-key", URL_SAFE, 35, "AIza"),
            words("google-oauth-token", URL_SAFE, 20, "ya29."),
            keys("google-oauth-secret", URL_SAFE, 20, "GOCSPX-"),
            keys("npm-token", PLAIN, 36, "npm_"),
            keys("pypi-token", URL_SAFE, 50, "pypi-"),
            words("huggingface-token", PLAIN, 30, "hf_"),
            words("sendgrid-key", URL_SAFE + ".", 60, "SG."),
            keys("digitalocean-token", LOWER + DIGITS, 64, "dop_v1_", "doo_v1_"),
            keys("azure-storage-key", PLAIN + "+/=", 86, "AccountKey="),
            Stream.of(new KeyShape("jwt", "eyJ", URL_SAFE + ".", 30, false, false, ".eyJ")))
        .<Shape>flatMap(shapes -> shapes)
        .toList();
  }

  private static Stream<KeyShape> keys(
      String name, String alphabet, int fewest, String... prefixes) {
    return Arrays.stream(prefixes)
        .map(prefix -> new KeyShape(name, prefix, alphabet, fewest, false, false, ""));
  }

  /** Of those whose characters also come within other words. */
  private static Stream<KeyShape> words(
      String name, String alphabet, int fewest, String... prefixes) {
    return Arrays.stream(prefixes)
        .map(prefix -> new KeyShape(name, prefix, alphabet, fewest, true, false, ""));
  }

  @Override
  public List<byte[]> prefixes() {
    return List.of(prefix);
  }

  @Override
  public byte[] mark() {
    return mark.clone();
  }

  @Override
  public boolean isWord() {
    return isWord;
  }

  @Override
  public int match(byte[] data, int start, int limit) {
    if (!Shape.beginsWith(prefix, data, start, limit)) {
      return NO;
    }
    int begin = start + prefix.length;
    boolean lower = !isMixed;
    boolean upper = !isMixed;
    boolean digit = !isMixed;
    boolean hasInfix = infix.length == 0;
    int prefixes = 0;
    for (int at = begin; at < limit; at++) {
      int character = data[at] & 0xFF;
      if (!alphabet[character] || at - begin >= MAX_UNKNOWN_BYTES) {
        return NO;
      }
      lower |= character >= 'a' && character <= 'z';
      upper |= character >= 'A' && character <= 'Z';
      digit |= character >= '0' && character <= '9';
      int end = at + 1;
      if (Shape.endsWith(prefix, data, begin, end) && ++prefixes == MAX_PREFIXES) {
        return NO;
      }
      hasInfix |= Shape.endsWith(infix, data, begin, end);
      if (end - begin >= fewest && lower && upper && digit && hasInfix) {
        return end;
      }
    }
    return OPEN;
  }

  /** Anybody may know a prefix. */
  @Override
  public boolean holds(int bytes) {
    return bytes > prefix.length;
  }

  @Override
  public boolean isOpenEnded() {
    return true;
  }

  @Override
  public Tail tail(byte[] data, int start, int end) {
    return new Tail() {
      private int left = MAX_BYTES;

      @Override
      public int follow(byte[] data, int from, int limit) {
        int at = from;
        while (at < limit && left > 0 && alphabet[data[at] & 0xFF]) {
          at++;
          left--;
        }
        return at;
      }
    };
  }
}
