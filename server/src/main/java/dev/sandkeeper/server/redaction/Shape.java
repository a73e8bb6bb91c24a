package dev.sandkeeper.server.redaction;

import java.util.Arrays;
import java.util.List;

/** What is not to be shown: how it begins, when it is known for what it is, where it ends. */
interface Shape {
  /** What {@link #match} returns when it is something else. */
  int NO = -1;

  /** What {@link #match} returns when the bytes end before that is known. */
  int OPEN = -2;

  /** The fewest bytes that one of {@link #prefixes} has, by which it is looked for. */
  int MIN_PREFIX_BYTES = 3;

  /** Says whether bytes from a start on are a prefix, as far as they are known. */
  static boolean beginsWith(byte[] prefix, byte[] data, int start, int limit) {
    int known = Math.min(prefix.length, limit - start);
    return Arrays.equals(prefix, 0, known, data, start, start + known);
  }

  /** Says whether bytes between a begin and an end end with others. */
  static boolean endsWith(byte[] suffix, byte[] data, int begin, int end) {
    // Most do not even have the last byte, which is quicker to see.
    return end - begin >= suffix.length
        && (suffix.length == 0 || suffix[suffix.length - 1] == data[end - 1])
        && Arrays.equals(suffix, 0, suffix.length, data, end - suffix.length, end);
  }

  /** Returns how it may begin, each with at least {@link #MIN_PREFIX_BYTES}. */
  List<byte[]> prefixes();

  /** Returns what is shown in its place. */
  byte[] mark();

  /** Says whether it begins behind no letter, digit or underscore. */
  boolean isWord();

  /**
   * Looks whether it begins at a byte.
   *
   * @param data bytes, of which those up to the limit are known
   * @param start where it would begin
   * @param limit greater than start
   * @return where the bytes end by which it is known; {@link #NO} or {@link #OPEN}
   */
  int match(byte[] data, int start, int limit);

  /**
   * Says whether its first bytes may not be shown while it is not known for what it is.
   *
   * @param bytes how many of them there are
   */
  boolean holds(int bytes);

  /** Says whether only what follows tells where it ends. */
  boolean isOpenEnded();

  /**
   * Returns what finds the end of one that is known.
   *
   * @param start where it begins in the data
   * @param end where the bytes end by which it is known
   */
  Tail tail(byte[] data, int start, int end);

  /** The rest of one that is known. */
  @FunctionalInterface
  interface Tail {
    /**
     * Goes on with it.
     *
     * @return where it ends; the limit when it may go on behind that
     */
    int follow(byte[] data, int from, int limit);
  }
}
