package dev.sandkeeper.server.redaction;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.LongStream;

/**
 * What is looked for in output, prepared for looking fast. Immutable.
 *
 * <p>Every shape begins with three bytes of its own; any two neighbours of these are looked for at
 * every second byte.
 */
public final class Redaction {
  private static final List<String> NOT_TEXT =
      List.of("image/", "audio/", "video/", "application/pdf", "application/octet-stream");

  private static final Redaction NONE = new Redaction(List.of());
  private static final Redaction KNOWN_KEYS = new Redaction(knownShapes());

  /** A bit for each two bytes. */
  private final long[] pairs = new long[(1 << Short.SIZE) / Long.SIZE];

  /** A bit for each hash of three bytes. */
  private final long[] triples = new long[(1 << Short.SIZE) / Long.SIZE];

  /** In order: three bytes with which a shape begins, and behind them which shape it is. */
  private final long[] beginnings;

  /** The shape of each beginning. */
  private final List<Shape> byBeginning;

  private final List<Shape> shapes;

  private Redaction(List<Shape> shapes) {
    this.shapes = List.copyOf(shapes);
    LongStream.Builder found = LongStream.builder();
    for (int i = 0; i < shapes.size(); i++) {
      for (byte[] prefix : shapes.get(i).prefixes()) {
        set(pairs, pair(prefix[0], prefix[1]));
        set(pairs, pair(prefix[1], prefix[2]));
        set(triples, hash(triple(prefix, 0)));
        found.add((long) triple(prefix, 0) << Integer.SIZE | i);
      }
    }
    this.beginnings = found.build().sorted().distinct().toArray();
    this.byBeginning =
        Arrays.stream(beginnings).mapToObj(beginning -> shapes.get((int) beginning)).toList();
  }

  /** Returns one that finds nothing. */
  public static Redaction none() {
    return NONE;
  }

  /** Returns one that finds keys of the known shapes. */
  public static Redaction knownKeys() {
    return KNOWN_KEYS;
  }

  /**
   * Returns one that also finds a secret, as it is and in the usual encodings.
   *
   * @param name stands in its mark
   * @param value at least 8 bytes, without white space around it
   */
  public Redaction withSecret(String name, String value) {
    List<Shape> more = new ArrayList<>(SecretShape.of(name, value));
    more.addAll(shapes);
    return new Redaction(more);
  }

  /** Returns the bytes with marks in the place of what is found. */
  public byte[] redact(byte[] bytes) {
    StreamRedactor redactor = new StreamRedactor(this);
    if (redactor.passes(bytes, 0, bytes.length)) {
      return bytes;
    }
    ByteArrayOutputStream shown = new ByteArrayOutputStream(bytes.length);
    redactor.accept(bytes, 0, bytes.length, shown);
    redactor.letGo();
    return shown.toByteArray();
  }

  /** Returns the text with marks in the place of what is found. */
  public String redact(String text) {
    return new String(redact(text.getBytes(StandardCharsets.UTF_8)), StandardCharsets.UTF_8);
  }

  /**
   * Returns a value's representations with marks in the place of what is found. Those that are no
   * text, such as images, stay as they are.
   *
   * @param values by media type
   */
  public Map<String, byte[]> redactValues(Map<String, byte[]> values) {
    Map<String, byte[]> shown = new LinkedHashMap<>();
    values.forEach((type, value) -> shown.put(type, isText(type) ? redact(value) : value));
    return shown;
  }

  private static boolean isText(String mediaType) {
    return mediaType.startsWith("image/svg") || NOT_TEXT.stream().noneMatch(mediaType::startsWith);
  }

  /** Returns what is shown in the place of a kind of key. */
  static byte[] mark(String name) {
    return ("[redacted:" + name + "]").getBytes(StandardCharsets.US_ASCII);
  }

  /** Says whether it finds nothing. */
  public boolean isEmpty() {
    return shapes.isEmpty();
  }

  /** Returns the shape whose mark the bytes end with, and of which more may follow. */
  Optional<Shape> openAtEnd(byte[] bytes) {
    return shapes.stream()
        .filter(Shape::isOpenEnded)
        .filter(shape -> {
          byte[] mark = shape.mark();
          int from = bytes.length - mark.length;
          return from >= 0 && Arrays.equals(mark, 0, mark.length, bytes, from, bytes.length);
        })
        .findFirst();
  }

  /**
   * Returns the shapes that may begin at a place, as far as its bytes are known: the first ones
   * first when three are, some more than once when fewer are.
   */
  List<Shape> startingAt(byte[] data, int at, int limit) {
    int first = 0;
    int last = 0;
    for (int i = at; i < at + Shape.MIN_PREFIX_BYTES; i++) {
      first = first << Byte.SIZE | (i < limit ? data[i] & 0xFF : 0);
      last = last << Byte.SIZE | (i < limit ? data[i] & 0xFF : 0xFF);
    }
    return byBeginning.subList(beginningsBefore(first), beginningsBefore(last + 1));
  }

  private int beginningsBefore(int triple) {
    int found = Arrays.binarySearch(beginnings, (long) triple << Integer.SIZE);
    return found < 0 ? -found - 1 : found;
  }

  /**
   * Returns the next place where a shape may begin, which any of the last two is; the limit when
   * there is none.
   *
   * @param from at most the limit
   */
  int next(byte[] data, int from, int limit) {
    if (isEmpty()) {
      return limit;
    }
    // Of the three bytes that a shape begins with, either the first two or the last two are met.
    for (int at = from; at + 1 < limit; at += 2) {
      if (isPair(data[at], data[at + 1])) {
        if (at > from && mayBegin(data, at - 1, limit)) {
          return at - 1;
        }
        if (mayBegin(data, at, limit)) {
          return at;
        }
      }
    }
    return Math.max(from, limit - 2);
  }

  private static List<Shape> knownShapes() {
    List<Shape> shapes = new ArrayList<>(KeyShape.known());
    shapes.add(new PrivateKeyShape());
    return shapes;
  }

  private boolean isPair(byte first, byte second) {
    return isSet(pairs, pair(first, second));
  }

  private boolean mayBegin(byte[] data, int at, int limit) {
    return at + 2 >= limit || isSet(triples, hash(triple(data, at)));
  }

  private static int pair(byte first, byte second) {
    return (first & 0xFF) << Byte.SIZE | (second & 0xFF);
  }

  private static int triple(byte[] data, int at) {
    return pair(data[at], data[at + 1]) << Byte.SIZE | (data[at + 2] & 0xFF);
  }

  private static int hash(int triple) {
    return ((triple >> Byte.SIZE) * 31 + triple) & 0xFFFF;
  }

  private static void set(long[] bits, int index) {
    bits[index >>> 6] |= 1L << index;
  }

  private static boolean isSet(long[] bits, int index) {
    return (bits[index >>> 6] & 1L << index) != 0;
  }
}
