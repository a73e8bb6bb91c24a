package dev.sandkeeper.server.base;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * A page of a list that is sorted by time, newest first, then by id.
 *
 * @param items what is on it
 * @param next behind what the next page begins; empty on the last page
 * @param <T> the kind of item
 */
public record Page<T>(List<T> items, Optional<Position> next) {
  /** Copies the items. */
  public Page {
    items = List.copyOf(items);
  }

  /**
   * The place of an item in the list.
   *
   * @param time the item's time
   * @param id the item's id
   */
  public record Position(Instant time, String id) {}

  /**
   * Which page is asked for.
   *
   * @param size how many items at most, 1 to 1,000
   * @param after behind which item; empty for the first page
   */
  public record Request(int size, Optional<Position> after) {
    /** Checks the size. */
    public Request {
      if (size < 1 || size > 1000) {
        throw new IllegalArgumentException("size: " + size + " (expected: 1 to 1000)");
      }
    }
  }
}
