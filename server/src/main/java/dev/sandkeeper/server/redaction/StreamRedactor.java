package dev.sandkeeper.server.redaction;

import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Redacts one stream that comes in chunks. Not thread-safe.
 *
 * <p>What may be the beginning of a key is held back until what follows shows what it is, or until
 * {@link #letGo}. It is remembered even then: of a key whose beginning was shown the rest is not.
 */
public final class StreamRedactor {
  private static final byte[] NOTHING = {};

  private Redaction redaction;

  /** The end of the last chunk, when it may be the beginning of a key. */
  private byte[] carry = NOTHING;

  /** How many bytes of the carry have been shown. */
  private int shown;

  /** Where the others of the carry belong; null when there are none. */
  private @Nullable ByteArrayOutputStream carryTarget;

  /** The key within which the last chunk ended. */
  private @Nullable Shape openShape;

  private Shape.@Nullable Tail openTail;

  /** The first chunk's target that has to do with that key and was not let go. */
  private @Nullable ByteArrayOutputStream openTarget;

  /** The three bytes before the carry, or else before the next chunk; the nearest one is lowest. */
  private int before;

  // What find() has found.
  private @Nullable Shape foundShape;
  private int foundEnd;
  private boolean foundHolds;

  /** Begins a stream. */
  public StreamRedactor(Redaction redaction) {
    this.redaction = redaction;
  }

  /** Looks for something else from the next chunk on. */
  public void use(Redaction next) {
    redaction = next;
  }

  /**
   * Goes on with a stream of which something was shown before; nothing may have been taken yet.
   *
   * @param end the last of it, as much as a key may have, or all
   */
  public void resume(byte[] end) {
    accept(end, 0, end.length, new ByteArrayOutputStream());
    letGo();
    redaction
        .openAtEnd(end)
        .ifPresent(shape -> {
          openShape = shape;
          openTail = shape.tail(end, end.length, end.length);
        });
  }

  /**
   * Takes the chunk when nothing in it is a key or may be one, so that it can be shown as it is.
   *
   * @return whether it was taken
   */
  public boolean passes(byte[] bytes, int from, int to) {
    if (openShape != null || carry.length > 0 || find(bytes, from, from, to) < to) {
      return false;
    }
    before = before(bytes, from, to);
    return true;
  }

  /**
   * Takes a chunk.
   *
   * @param target for what of it can be shown, now or later, and for the marks of keys that begin
   *     in it
   */
  public void accept(byte[] bytes, int from, int to, ByteArrayOutputStream target) {
    if (carry.length == 0) {
      accept(bytes, from, from, to, target);
    } else {
      byte[] whole = Arrays.copyOf(carry, carry.length + to - from);
      System.arraycopy(bytes, from, whole, carry.length, to - from);
      accept(whole, 0, carry.length, whole.length, target);
    }
  }

  /**
   * Returns the first target that something may still be added to; empty when nothing is held back
   * and no key is open.
   */
  public Optional<ByteArrayOutputStream> pending() {
    return Optional.ofNullable(carryTarget != null ? carryTarget : openTarget);
  }

  /** Shows what is held back, but no key within it and the rest of none. */
  public void letGo() {
    if (carryTarget != null) {
      showCarry(carryTarget);
      carryTarget = null;
      shown = carry.length;
    }
    if (openShape != null && openTarget != null) {
      if (openTarget.size() == 0) {
        openTarget.writeBytes(openShape.mark());
      }
      openTarget = null;
    }
  }

  /**
   * Shows the carry but for the keys behind its first byte: what begins with that may turn out to
   * be none. They stay in it, to be met again when it does.
   */
  private void showCarry(ByteArrayOutputStream target) {
    int literal = shown;
    int at = 1;
    while (at < carry.length) {
      at = find(carry, 0, at, carry.length);
      if (at < carry.length && foundEnd >= 0) {
        Shape found = Objects.requireNonNull(foundShape);
        int known = foundEnd;
        show(carry, literal, at, 0, target);
        if (!isMarked(known, shown)) {
          target.writeBytes(found.mark());
        }
        at = found.tail(carry, at, known).follow(carry, known, carry.length);
        literal = Math.max(literal, at);
      } else {
        at++;
      }
    }
    show(carry, literal, carry.length, 0, target);
  }

  /** Says whether a key has its mark, as it was known when the carry was let go. */
  private static boolean isMarked(int known, int unshown) {
    return known <= unshown;
  }

  /**
   * Goes through the carry and the chunk.
   *
   * @param from where the carry begins in the data
   * @param border where the chunk does
   */
  private void accept(byte[] data, int from, int border, int limit, ByteArrayOutputStream target) {
    int unshown = from + shown;
    int literal = from; // what is not shown yet, and no part of a key, begins here
    int at = from;
    if (openShape != null) {
      at = goOn(data, at, limit, target);
      literal = at;
    }
    while (at < limit) {
      at = find(data, from, at, limit);
      if (foundEnd == Shape.OPEN || at == limit) {
        break;
      }
      Shape found = Objects.requireNonNull(foundShape);
      show(data, Math.max(literal, unshown), at, border, target);
      ByteArrayOutputStream marked = at < border && carryTarget != null ? carryTarget : target;
      if (!isMarked(foundEnd, unshown)) {
        marked.writeBytes(found.mark());
      }
      openShape = found;
      openTail = found.tail(data, at, foundEnd);
      openTarget = marked;
      at = goOn(data, foundEnd, limit, target);
      literal = at;
    }
    show(data, Math.max(literal, unshown), at, border, target);
    keep(data, from, at, border, limit, target);
  }

  /** Goes on with the open key; returns where it ends. */
  private int goOn(byte[] data, int from, int limit, ByteArrayOutputStream target) {
    int end = Objects.requireNonNull(openTail).follow(data, from, limit);
    if (end < limit) {
      openShape = null;
      openTail = null;
      openTarget = null;
    } else if (openTarget == null) {
      openTarget = target;
    }
    return end;
  }

  /** Shows bytes that are no part of a key. */
  private void show(byte[] data, int from, int to, int border, ByteArrayOutputStream target) {
    int split = Math.clamp(border, from, Math.max(from, to));
    if (from < split) {
      Objects.requireNonNull(carryTarget).write(data, from, split - from);
    }
    if (split < to) {
      target.write(data, split, to - split);
    }
  }

  /** Keeps what may be the beginning of a key. */
  private void keep(
      byte[] data, int from, int at, int border, int limit, ByteArrayOutputStream target) {
    int unshown = from + shown;
    before = before(data, from, at);
    if (at < limit && (foundHolds || holdsBehind(data, from, at, limit))) {
      carryTarget = at < border && carryTarget != null ? carryTarget : target;
      shown = Math.max(0, unshown - at);
    } else {
      show(data, Math.max(at, unshown), limit, border, target);
      carryTarget = null;
      shown = limit - at;
    }
    carry = at == limit ? NOTHING : Arrays.copyOfRange(data, at, limit);
  }

  /** Says whether something behind a place may not be shown yet. */
  private boolean holdsBehind(byte[] data, int begin, int at, int limit) {
    int next = find(data, begin, at + 1, limit);
    while (next < limit && foundEnd == Shape.OPEN && !foundHolds) {
      next = find(data, begin, next + 1, limit);
    }
    return next < limit;
  }

  /**
   * Returns where the next key begins, or may begin as its end has not come; the limit when there
   * is none.
   *
   * @param begin where the data begin
   * @param from where to begin to look
   */
  private int find(byte[] data, int begin, int from, int limit) {
    for (int at = redaction.next(data, from, limit);
        at < limit;
        at = redaction.next(data, at + 1, limit)) {
      foundEnd = Shape.NO;
      foundHolds = false;
      for (Shape shape : redaction.startingAt(data, at, limit)) {
        if (shape.isWord() && !isWordStart(before(data, begin, at))) {
          continue;
        }
        int end = shape.match(data, at, limit);
        if (end >= 0) {
          foundShape = shape;
          foundEnd = end;
          return at;
        }
        if (end == Shape.OPEN) {
          foundEnd = Shape.OPEN;
          foundHolds |= shape.holds(limit - at);
        }
      }
      if (foundEnd == Shape.OPEN) {
        return at;
      }
    }
    return limit;
  }

  /** Returns the three bytes before a place. */
  private int before(byte[] data, int begin, int at) {
    int bytes = before;
    for (int i = Math.max(begin, at - 3); i < at; i++) {
      bytes = bytes << Byte.SIZE | (data[i] & 0xFF);
    }
    return bytes & 0xFFFFFF;
  }

  /** Says whether a word begins behind the bytes: not within another, but behind an escape. */
  private static boolean isWordStart(int bytes) {
    int last = bytes & 0xFF;
    int second = bytes >> Byte.SIZE & 0xFF;
    int third = bytes >> Short.SIZE;
    boolean isOfWord = last == '_' || (last < 0x80 && Character.isLetterOrDigit(last));
    boolean isOfEscape = second == '\\' && (last == 'n' || last == 'r' || last == 't');
    boolean isOfPercent = third == '%' && isHex(second) && isHex(last);
    return !isOfWord || isOfEscape || isOfPercent;
  }

  private static boolean isHex(int character) {
    return Character.digit(character, 16) >= 0;
  }
}
