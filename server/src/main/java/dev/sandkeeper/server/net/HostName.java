package dev.sandkeeper.server.net;

import java.net.IDN;
import java.text.Normalizer;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * The name of a host in the one form in which names are compared: labels of lower-case letters,
 * digits and hyphens (RFC 1123), those of other alphabets as A-labels (RFC 5890), without a full
 * stop at the end. Never an address, in whatever notation.
 *
 * @param value at most {@value #MAX_LENGTH} characters, of two labels at least
 */
public record HostName(String value) {
  /** The most characters of a name. */
  public static final int MAX_LENGTH = 253;

  private static final Pattern LABEL = Pattern.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?");

  /** What some program may take for a part of an address: decimal, octal or hexadecimal. */
  private static final Pattern NUMBER = Pattern.compile("[0-9]+|0[xX][0-9a-fA-F]*");

  public HostName {
    check(value.length() <= MAX_LENGTH, value.length() + " characters");
    String[] labels = value.split("\\.", -1);
    check(labels.length >= 2, "a name of one label");
    for (String label : labels) {
      check(LABEL.matcher(label).matches(), "a label that is none of a host's");
    }
    check(!NUMBER.matcher(labels[labels.length - 1]).matches(), "an address");
  }

  /**
   * Reads a name as people write it, of any alphabet.
   *
   * @throws IllegalArgumentException when it is none, or could be taken for different names: the
   *     two standards for other alphabets disagree about some letters
   */
  public static HostName of(String text) {
    check(text.length() <= MAX_LENGTH + 1, text.length() + " characters");
    String name = withoutLastStop(text);
    if (name.chars().allMatch(letter -> letter < 0x80)) {
      return new HostName(name.toLowerCase(Locale.ROOT));
    }
    String composed = Normalizer.normalize(name, Normalizer.Form.NFC).toLowerCase(Locale.ROOT);
    String ascii = toAscii(composed);
    check(IDN.toUnicode(ascii).equals(composed), "letters of more than one reading; use A-labels");
    return new HostName(ascii.toLowerCase(Locale.ROOT));
  }

  /** Says whether some program may take a text for an IP address. */
  public static boolean mayBeAddress(String text) {
    if (text.indexOf(':') >= 0 || text.startsWith("[")) {
      return true;
    }
    String name = withoutLastStop(text);
    return NUMBER.matcher(name.substring(name.lastIndexOf('.') + 1)).matches();
  }

  private static String toAscii(String name) {
    try {
      return IDN.toASCII(name, IDN.USE_STD3_ASCII_RULES);
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(refusal("letters that no host's name has"), e);
    }
  }

  private static String withoutLastStop(String text) {
    return text.endsWith(".") ? text.substring(0, text.length() - 1) : text;
  }

  private static void check(boolean condition, String found) {
    if (!condition) {
      throw new IllegalArgumentException(refusal(found));
    }
  }

  private static String refusal(String found) {
    return found + " (expected: the full name of a host)";
  }

  @Override
  public String toString() {
    return value;
  }
}
