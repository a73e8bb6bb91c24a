package dev.sandkeeper.server.redaction;

import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** One way to write a secret. */
final class SecretShape implements Shape {
  /** So much of a long secret is not met by chance. */
  private static final int ENOUGH_PARTS = 32;

  /** The most bytes that a part has with those between it and the next, as an indented number. */
  private static final int MAX_PART_BYTES = 16;

  private static final int MIN_PARTS = 8;

  private static final String HEX_DIGITS = "0123456789abcdef";
  private static final String BASE32_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  private static final String BASE64_DIGITS =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  private final byte[] mark;
  private final byte[] parts;
  private final Writing writing;
  private final List<SecretShape> ofOneSecret;
  private final List<byte[]> prefixes;

  /** How many parts are enough to know it. */
  private final int enough;

  /** How many of these, from the first on, can be compared as they are. */
  private final int plain;

  /** What is written, each byte as a character, and how. */
  private record Written(String parts, Writing writing) {}

  /**
   * Describes one.
   *
   * @param ofOneSecret all ways to write the same secret
   */
  private SecretShape(String name, Written written, List<SecretShape> ofOneSecret) {
    this.mark = Redaction.mark("secret:" + name);
    this.parts = written.parts().getBytes(StandardCharsets.ISO_8859_1);
    this.writing = written.writing();
    this.ofOneSecret = ofOneSecret;
    this.enough = Math.min(parts.length, ENOUGH_PARTS);
    this.plain = writing.plain(parts, enough);
    Set<String> beginnings = new LinkedHashSet<>();
    addBeginnings("", 0, false, beginnings);
    this.prefixes =
        beginnings.stream().map(text -> text.getBytes(StandardCharsets.ISO_8859_1)).toList();
  }

  /** Returns the ways to write a secret that anybody would try first. */
  static List<Shape> of(String name, String value) {
    byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
    String text = string(bytes);
    Set<Written> all = new LinkedHashSet<>();
    all.add(new Written(text, Writing.TEXT));
    all.add(new Written(inAscii(value, "\\u%04x"), Writing.TEXT));
    all.add(new Written(inAscii(value, "\\u%04X"), Writing.TEXT));
    for (Charset charset : List.of(StandardCharsets.UTF_16LE, StandardCharsets.UTF_16BE)) {
      all.add(new Written(string(value.getBytes(charset)).replace("\0", ""), Writing.TEXT));
    }
    String reversed = new StringBuilder(value).reverse().toString();
    all.add(new Written(string(reversed.getBytes(StandardCharsets.UTF_8)), Writing.EXACT));
    all.add(new Written(text, Writing.NUMBERS));
    addDigits(bytes, HEX_DIGITS, Writing.HEX, all);
    addDigits(bytes, BASE64_DIGITS, Writing.BASE64, all);
    addDigits(bytes, BASE32_DIGITS, Writing.BASE32, all);
    // Behind the others: what has all lines is met as a whole.
    text.lines()
        .map(String::strip)
        .filter(line -> line.length() < text.length())
        .forEach(line -> all.add(new Written(line, Writing.EXACT)));
    List<SecretShape> shapes = new ArrayList<>();
    for (Written written : all) {
      if (written.parts().length() >= MIN_PARTS) {
        shapes.add(new SecretShape(name, written, shapes));
      }
    }
    return List.copyOf(shapes);
  }

  /** Adds it in digits of equally many bits, by how many bytes may be before it. */
  private static void addDigits(byte[] bytes, String digits, Writing writing, Set<Written> all) {
    int bits = Integer.numberOfTrailingZeros(digits.length());
    for (int before = 0; before == 0 || before * Byte.SIZE % bits != 0; before++) {
      all.add(new Written(digits(bytes, before, digits, bits), writing));
    }
  }

  /** Returns the digits that are the same whatever the bytes before and behind are. */
  private static String digits(byte[] bytes, int before, String digits, int bits) {
    int end = (before + bytes.length) * Byte.SIZE;
    StringBuilder text = new StringBuilder();
    for (int at = Math.ceilDiv(before * Byte.SIZE, bits) * bits; at + bits <= end; at += bits) {
      int digit = 0;
      for (int bit = at - before * Byte.SIZE; bit < at - before * Byte.SIZE + bits; bit++) {
        int shift = Byte.SIZE - 1 - bit % Byte.SIZE;
        digit = (digit << 1) | ((bytes[bit / Byte.SIZE] >> shift) & 1);
      }
      text.append(digits.charAt(digit));
    }
    return text.toString();
  }

  /** Returns it with what is not in ASCII as escapes. */
  private static String inAscii(String value, String format) {
    StringBuilder text = new StringBuilder();
    value
        .chars()
        .forEach(character ->
            text.append(
                character < 0x80
                    ? Character.toString(character)
                    : String.format(Locale.ROOT, format, character)));
    return text.toString();
  }

  private static String string(byte[] bytes) {
    return new String(bytes, StandardCharsets.ISO_8859_1);
  }

  /**
   * Adds the first bytes of what may be written behind a beginning.
   *
   * @param known how many parts the beginning has
   * @param isSeparated whether it ends between two
   */
  private void addBeginnings(String beginning, int known, boolean isSeparated, Set<String> all) {
    if (beginning.length() >= MIN_PREFIX_BYTES) {
      all.add(beginning.substring(0, MIN_PREFIX_BYTES));
      return;
    }
    for (byte[] way : writing.ways(parts[known])) {
      addBeginnings(beginning + string(way), known + 1, false, all);
    }
    // More than one there is too common in other text, but for the end of a line.
    for (byte separator : known == 0 ? new byte[0] : writing.between()) {
      if (!isSeparated || (separator == '\n' && beginning.endsWith("\r"))) {
        addBeginnings(beginning + (char) separator, known, true, all);
      }
    }
  }

  @Override
  public List<byte[]> prefixes() {
    return prefixes;
  }

  @Override
  public byte[] mark() {
    return mark.clone();
  }

  @Override
  public boolean isWord() {
    return false;
  }

  @Override
  public int match(byte[] data, int start, int limit) {
    SecretReader reader = new SecretReader(parts, writing);
    int at = start + reader.readPlain(data, start, limit, plain);
    while (reader.known() < enough) {
      if (at == limit) {
        return OPEN;
      }
      if (at - start == MAX_PART_BYTES * enough || !reader.read(data[at])) {
        return NO;
      }
      at++;
    }
    return at;
  }

  @Override
  public boolean holds(int bytes) {
    return true;
  }

  /** Of a secret that ends in a mark nobody knows how much it stands for. */
  @Override
  public boolean isOpenEnded() {
    return false;
  }

  /** Goes on with all ways that begin so: which of them it is may be seen late. */
  @Override
  public Tail tail(byte[] data, int start, int end) {
    List<SecretReader> readers = new ArrayList<>();
    for (SecretShape shape : ofOneSecret) {
      SecretReader reader = new SecretReader(shape.parts, shape.writing);
      int at = start;
      while (at < end && reader.read(data[at])) {
        at++;
      }
      if (at == end) {
        readers.add(reader);
      }
    }
    return (bytes, from, limit) -> {
      for (int at = from; at < limit; at++) {
        byte character = bytes[at];
        readers.removeIf(reader -> !reader.read(character));
        if (readers.isEmpty()) {
          return at;
        }
      }
      return limit;
    };
  }
}
