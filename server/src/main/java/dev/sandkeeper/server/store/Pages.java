package dev.sandkeeper.server.store;

import dev.sandkeeper.server.base.Page;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** Cuts pages out of what was read with one row more than asked for. */
final class Pages {
  private Pages() {}

  /**
   * Returns the page.
   *
   * @param rows up to one row more than the size; that row says there is another page
   * @param position the place of an item in the list
   */
  static <T> Page<T> of(List<T> rows, int size, Function<T, Page.Position> position) {
    if (rows.size() <= size) {
      return new Page<>(rows, Optional.empty());
    }
    List<T> items = rows.subList(0, size);
    return new Page<>(items, Optional.of(position.apply(items.getLast())));
  }
}
