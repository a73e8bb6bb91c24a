package dev.sandkeeper.server.redaction;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.IntFunction;

/** How programs write bytes: what may stand for each of them, and what between two. Immutable. */
final class Writing {
  /** As they are. */
  static final Writing EXACT = new Writing("", part -> List.of(raw(part)));

  /**
   * As text in which any byte may be escaped as programs do it in URLs, in strings of programming
   * languages, JSON and shells, and in HTML: each escapes others, and some do it twice over.
   * Between them may be what UTF-16 has beside ASCII.
   */
  static final Writing TEXT = new Writing("\0", Writing::escapes);

  /** The parts are hexadecimal digits in lower case. */
  static final Writing HEX =
      new Writing(
          "\n\r :-",
          part ->
              part >= 'a' && part <= 'f'
                  ? List.of(raw(part), raw(part - 'a' + 'A'))
                  : List.of(raw(part)));

  /** As lists of numbers, of which those of Java have a sign. */
  static final Writing NUMBERS =
      new Writing(
          "\n\r ,",
          part ->
              List.of(
                  Integer.toString(part),
                  Integer.toString((byte) part),
                  format("0x%02x", part),
                  format("0x%02X", part),
                  format("0x%x", part)));

  /** The parts are digits of Base64; in wrapped lines, in URLs and in JSON. */
  static final Writing BASE64 =
      new Writing(
          "\n\r",
          part ->
              switch (part) {
                case '+' -> List.of("+", "-", "%2B", "%2b");
                case '/' -> List.of("/", "_", "%2F", "%2f", "\\/");
                default -> List.of(raw(part));
              });

  /** The parts are digits of Base32, in wrapped lines. */
  static final Writing BASE32 = new Writing("\n\r", part -> List.of(raw(part)));

  private final byte[][][] ways = new byte[1 << Byte.SIZE][][];
  private final byte[] between;
  private final boolean[] isBetween = new boolean[1 << Byte.SIZE];

  /** By the first byte of anything but a part that is written as it is. */
  private final boolean[] isSpecial = new boolean[1 << Byte.SIZE];

  private final boolean[] isAsItIs = new boolean[1 << Byte.SIZE];

  private Writing(String between, IntFunction<List<String>> waysOfPart) {
    this.between = bytes(between);
    for (byte separator : this.between) {
      isBetween[separator & 0xFF] = true;
      isSpecial[separator & 0xFF] = true;
    }
    for (int part = 0; part < ways.length; part++) {
      List<String> texts = waysOfPart.apply(part).stream().distinct().toList();
      ways[part] = texts.stream().map(Writing::bytes).toArray(byte[][]::new);
      for (String text : texts) {
        if (text.equals(raw(part))) {
          isAsItIs[part] = true;
        } else {
          isSpecial[text.charAt(0)] = true;
        }
      }
    }
  }

  /** Returns the ways to write a part; not to be changed. */
  byte[][] ways(byte part) {
    return ways[part & 0xFF];
  }

  /** Returns what may stand between parts; not to be changed. */
  byte[] between() {
    return between;
  }

  /** Says whether a byte may stand between parts. */
  boolean isBetween(byte character) {
    return isBetween[character & 0xFF];
  }

  /** Says whether a byte can be something else than a part that is written as it is. */
  boolean isSpecial(byte character) {
    return isSpecial[character & 0xFF];
  }

  /** Says whether a part can be written as it is. */
  boolean isAsItIs(byte part) {
    return isAsItIs[part & 0xFF];
  }

  /** Returns how many parts, from the first on, any byte can be compared with as they are. */
  int plain(byte[] parts, int most) {
    int plain = 0;
    while (plain < most && isAsItIs(parts[plain]) && !isSpecial(parts[plain])) {
      plain++;
    }
    return plain;
  }

  private static List<String> escapes(int part) {
    List<String> ways = new ArrayList<>(List.of(raw(part)));
    for (String format : List.of("%%%02x", "%%%02X", "\\x%02x", "\\x%02X", "\\%03o")) {
      ways.add(format(format, part));
    }
    if (part >= 0x80) {
      return ways; // a part of a character only
    }
    for (String format : List.of("\\u%04x", "\\u%04X", "&#%d;", "&#%03d;", "&#x%x;", "&#x%X;")) {
      ways.add(format(format, part));
    }
    if (!Character.isLetterOrDigit(part)) {
      ways.add("\\" + raw(part));
    }
    switch (part) {
      case ' ' -> ways.add("+");
      case '\n' -> ways.add("\\n");
      case '\r' -> ways.add("\\r");
      case '\t' -> ways.add("\\t");
      case '&' -> ways.add("&amp;");
      case '<' -> ways.add("&lt;");
      case '>' -> ways.add("&gt;");
      case '"' -> ways.add("&quot;");
      case '\'' -> ways.add("&apos;");
      default -> {}
    }
    return ways;
  }

  private static String raw(int part) {
    return Character.toString(part);
  }

  private static String format(String format, int part) {
    return String.format(Locale.ROOT, format, part);
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.ISO_8859_1);
  }
}
