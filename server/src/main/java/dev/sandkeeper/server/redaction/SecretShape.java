package dev.sandkeeper.server.redaction;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** One way to write a secret. */
final class SecretShape implements Shape {
  /** So much of a long secret is not met by chance. */
  private static final int ENOUGH_BYTES = 32;

  private static final int MIN_LINE_BYTES = 8;
  private static final byte[] NONE = {};
  private static final byte[] LINE_ENDS = {'\n', '\r'};
  private static final byte[] BETWEEN_DIGITS = {'\n', '\r', ' ', ':'};

  private final byte[] mark;
  private final byte[] text;
  private final byte[] between;
  private final List<SecretShape> ofOneSecret;

  /**
   * Describes one.
   *
   * @param text how it is written
   * @param between what may stand between its characters, as lines are wrapped or digits grouped
   * @param ofOneSecret all ways to write the same secret
   */
  private SecretShape(String name, String text, byte[] between, List<SecretShape> ofOneSecret) {
    this.mark = Redaction.mark("secret:" + name);
    this.text = text.getBytes(StandardCharsets.UTF_8);
    this.between = between;
    this.ofOneSecret = ofOneSecret;
  }

  /** Returns the ways to write a secret that anybody would try first. */
  static List<Shape> of(String name, String value) {
    byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
    Map<String, byte[]> texts = new LinkedHashMap<>();
    texts.put(value, NONE);
    texts.putIfAbsent(new StringBuilder(value).reverse().toString(), NONE);
    String json = escaped(value, false);
    texts.putIfAbsent(json, NONE);
    texts.putIfAbsent(escaped(value, true), NONE);
    texts.putIfAbsent(json.replace("/", "\\/"), NONE);
    String form = URLEncoder.encode(value, StandardCharsets.UTF_8);
    String percent = form.replace("+", "%20");
    texts.putIfAbsent(form, NONE);
    texts.putIfAbsent(percent, NONE);
    texts.putIfAbsent(lowerPercent(percent), NONE);
    texts.putIfAbsent(HexFormat.of().formatHex(bytes), BETWEEN_DIGITS);
    texts.putIfAbsent(HexFormat.of().withUpperCase().formatHex(bytes), BETWEEN_DIGITS);
    for (int offset = 0; offset < 3; offset++) {
      String base64 = base64(bytes, offset);
      texts.putIfAbsent(base64, LINE_ENDS);
      texts.putIfAbsent(base64.replace('+', '-').replace('/', '_'), LINE_ENDS);
    }
    // Behind the others: what has all lines is met as a whole.
    value.lines().map(String::strip).forEach(line -> texts.putIfAbsent(line, NONE));
    List<SecretShape> all = new ArrayList<>();
    texts.forEach((text, between) -> {
      if (text.getBytes(StandardCharsets.UTF_8).length >= MIN_LINE_BYTES) {
        all.add(new SecretShape(name, text, between, all));
      }
    });
    return List.copyOf(all);
  }

  /** Returns the characters that are the same whatever the given number of bytes before are. */
  private static String base64(byte[] bytes, int offset) {
    byte[] shifted = new byte[offset + bytes.length];
    System.arraycopy(bytes, 0, shifted, offset, bytes.length);
    String text = Base64.getEncoder().withoutPadding().encodeToString(shifted);
    int first = offset == 0 ? 0 : offset + 1;
    return text.substring(first, shifted.length * Byte.SIZE / 6);
  }

  /** Returns it as within a string of JSON, and of most languages. */
  private static String escaped(String value, boolean asciiOnly) {
    StringBuilder text = new StringBuilder();
    value
        .chars()
        .forEach(character -> {
          switch (character) {
            case '"' -> text.append("\\\"");
            case '\\' -> text.append("\\\\");
            case '\n' -> text.append("\\n");
            case '\r' -> text.append("\\r");
            case '\t' -> text.append("\\t");
            default -> {
              if (character < ' ' || (asciiOnly && character > '~')) {
                text.append(String.format(Locale.ROOT, "\\u%04x", character));
              } else {
                text.append((char) character);
              }
            }
          }
        });
    return text.toString();
  }

  private static String lowerPercent(String percent) {
    StringBuilder text = new StringBuilder(percent);
    for (int at = text.indexOf("%"); at >= 0; at = text.indexOf("%", at + 1)) {
      text.replace(at + 1, at + 3, text.substring(at + 1, at + 3).toLowerCase(Locale.ROOT));
    }
    return text.toString();
  }

  @Override
  public List<byte[]> prefixes() {
    List<byte[]> prefixes = new ArrayList<>();
    prefixes.add(Arrays.copyOf(text, MIN_PREFIX_BYTES));
    for (byte separator : between) {
      prefixes.add(new byte[] {text[0], text[1], separator});
      prefixes.add(new byte[] {text[0], separator, text[1]});
      prefixes.add(new byte[] {text[0], separator, '\n'});
    }
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
    int enough = Math.min(text.length, ENOUGH_BYTES);
    int known = 0;
    for (int at = start; at < limit; at++) {
      if (data[at] == text[known]) {
        known++;
        if (known == enough) {
          return at + 1;
        }
      } else if (known == 0 || !isBetween(data[at]) || at - start > 4 * enough) {
        return NO;
      }
    }
    return OPEN;
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
  public Tail tail() {
    int enough = Math.min(text.length, ENOUGH_BYTES);
    List<byte[]> ways = new ArrayList<>();
    for (SecretShape shape : ofOneSecret) {
      if (shape.text.length >= enough && Arrays.equals(shape.text, 0, enough, text, 0, enough)) {
        ways.add(shape.text);
      }
    }
    return new Tail() {
      private int known = enough;

      @Override
      public int follow(byte[] data, int from, int limit) {
        for (int at = from; at < limit; at++) {
          byte character = data[at];
          if (ways.stream().anyMatch(way -> goesOn(way, character))) {
            ways.removeIf(way -> !goesOn(way, character));
            known++;
          } else if (!isBetween(character) || ways.stream().allMatch(way -> way.length == known)) {
            return at;
          }
        }
        return limit;
      }

      private boolean goesOn(byte[] way, byte character) {
        return known < way.length && way[known] == character;
      }
    };
  }

  private boolean isBetween(byte character) {
    for (byte separator : between) {
      if (character == separator) {
        return true;
      }
    }
    return false;
  }
}
