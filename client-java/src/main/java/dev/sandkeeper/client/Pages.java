package dev.sandkeeper.client;

import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;

/** Shows the pages of a list as one stream. */
final class Pages {
  private Pages() {}

  /**
   * Streams the items of all pages. The first page is asked for at once, each other one when all of
   * the one before it was used.
   *
   * @param firstToken the token of the first page; empty for the beginning
   * @param page asks for a page by its token
   * @param nextToken returns the token of the page behind; empty on the last
   */
  static <P, T> Stream<T> stream(
      String firstToken,
      Function<String, P> page,
      Function<P, List<T>> items,
      Function<P, String> nextToken) {
    return Stream.iterate(
            Optional.of(page.apply(firstToken)),
            Optional::isPresent,
            now -> now.map(nextToken).filter(token -> !token.isEmpty()).map(page))
        .flatMap(now -> now.map(items).orElse(List.of()).stream());
  }
}
