package dev.sandkeeper.server.redaction;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Reads what may be a secret byte by byte, in all ways at once in which it may be written: a
 * percent sign may be one of the secret's or begin an escape, and only what follows tells.
 */
final class SecretReader {
  /** More are not met but in secrets made for it; the bound keeps the time linear. */
  private static final int MAX_PLACES = 8;

  private static final byte[] NO_WAY = {};

  private final byte[] parts;
  private final Writing writing;
  private int known;

  /** Where it may be; null when that is behind the known parts only. */
  private @Nullable List<Place> places;

  /**
   * Where it may be.
   *
   * @param known how many parts are behind it
   * @param way how the next one is written, one of its writing's; empty when nothing of it has been
   *     read
   * @param read how many bytes of that have been read
   */
  private record Place(int known, byte[] way, int read) {}

  SecretReader(byte[] parts, Writing writing) {
    this.parts = parts;
    this.writing = writing;
  }

  /** Returns how many parts it has read, at most. */
  int known() {
    return known;
  }

  /**
   * Reads what is written as it is, of bytes from the first on; returns how many these are. Nothing
   * may have been read yet.
   *
   * @param plain how many parts can be compared, as by {@link Writing#plain}
   */
  int readPlain(byte[] data, int start, int limit, int plain) {
    int most = Math.min(plain, limit - start);
    int different = Arrays.mismatch(parts, 0, most, data, start, start + most);
    known = different < 0 ? most : different;
    return known;
  }

  /** Reads one more byte; returns false, and is of no use any more, when that is another's. */
  boolean read(byte character) {
    List<Place> before = places;
    if (before == null) {
      if (known == parts.length) {
        return false;
      }
      if (!writing.isSpecial(character)) {
        boolean isNext = parts[known] == character && writing.isAsItIs(character);
        known += isNext ? 1 : 0;
        return isNext;
      }
      before = List.of(new Place(known, NO_WAY, 0));
    }
    List<Place> after = new ArrayList<>(2);
    for (Place place : before) {
      go(place, character, after);
    }
    boolean isBehindKnown =
        after.size() == 1 && after.getFirst().read() == 0 && after.getFirst().known() == known;
    places = isBehindKnown ? null : after;
    return !after.isEmpty();
  }

  private void go(Place place, byte character, List<Place> after) {
    if (place.read() > 0) {
      if (place.way()[place.read()] == character) {
        add(place.known(), place.way(), place.read() + 1, after);
      }
    } else if (place.known() < parts.length) {
      for (byte[] way : writing.ways(parts[place.known()])) {
        if (way[0] == character) {
          add(place.known(), way, 1, after);
        }
      }
      if (place.known() > 0 && writing.isBetween(character)) {
        add(place.known(), NO_WAY, 0, after);
      }
    }
  }

  private void add(int partsKnown, byte[] way, int read, List<Place> after) {
    boolean isRead = read > 0 && read == way.length;
    Place place = isRead ? new Place(partsKnown + 1, NO_WAY, 0) : new Place(partsKnown, way, read);
    if (isRead) {
      known = Math.max(known, partsKnown + 1);
    }
    if (after.size() < MAX_PLACES && !after.contains(place)) {
      after.add(place);
    }
  }
}
