package dev.sandkeeper.server.api;

import com.google.common.hash.Hashing;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandkeeperException;
import java.nio.charset.StandardCharsets;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.util.Base64;
import java.util.List;
import java.util.Optional;

/** Page tokens: opaque, and good for the query they came from only. */
final class PageTokens {
  private static final int DEFAULT_SIZE = 50;

  private PageTokens() {}

  /**
   * Returns which page is asked for.
   *
   * @param size as asked; 0 for the default
   * @param token as given; empty for the first page
   * @param list the name of the list
   * @param query everything else that the list depends on
   * @throws SandkeeperException {@code INVALID_FIELD} for a token of another query, or none of ours
   */
  static Page.Request request(int size, String token, String list, Object... query) {
    int wanted = size == 0 ? DEFAULT_SIZE : size;
    if (token.isEmpty()) {
      return new Page.Request(wanted, Optional.empty());
    }
    try {
      String text = new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8);
      List<String> parts = List.of(text.split(" ", 3));
      if (parts.size() == 3) {
        Instant time = DateTimeFormatter.ISO_INSTANT.parse(parts.get(1), Instant::from);
        Page.Position position = new Page.Position(time, parts.get(2));
        if (parts.getFirst().equals(fingerprint(position, list, query))) {
          return new Page.Request(wanted, Optional.of(position));
        }
      }
    } catch (IllegalArgumentException | DateTimeException _) {
      // Falls through to the refusal: whatever it is, it is no token of this query.
    }
    throw SandkeeperException.invalidField(
        "page_token", "(expected: the next_page_token of the same query)");
  }

  /** Returns the token of the next page; empty on the last. */
  static String next(Page<?> page, String list, Object... query) {
    return page.next()
        .map(position ->
            fingerprint(position, list, query) + " " + position.time() + " " + position.id())
        .map(text ->
            Base64.getUrlEncoder()
                .withoutPadding()
                .encodeToString(text.getBytes(StandardCharsets.UTF_8)))
        .orElse("");
  }

  /** Tells apart queries, and a token that was changed on its way. */
  private static String fingerprint(Page.Position position, String list, Object... query) {
    return Hashing.sha256()
        .hashString(position + " " + list + " " + List.of(query), StandardCharsets.UTF_8)
        .toString()
        .substring(0, 16);
  }
}
