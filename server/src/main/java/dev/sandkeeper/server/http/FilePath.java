package dev.sandkeeper.server.http;

import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.base.SandkeeperException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Which file of a sandbox a request means: what stands behind {@code /files/}, or else the query
 * parameter {@code path}; percent-decoded, in UTF-8.
 *
 * <p>It is taken from the request as it came, for a server or client that tidies slashes would turn
 * {@code /files//tmp/x}, which is {@code /tmp/x}, into {@code tmp/x} of the home.
 */
final class FilePath {
  /** The query parameter. */
  static final String PARAMETER = "path";

  private static final Pattern IN_PATH =
      Pattern.compile("(?:/+api)?/+v1/+sandboxes/+[^/]+/+files/([^?]+)(?:\\?.*)?", Pattern.DOTALL);
  private static final Pattern IN_QUERY =
      Pattern.compile("[^?]*\\?(?:.*&)?path=([^&]*)(?:&.*)?", Pattern.DOTALL);
  private static final int HEX = 16;

  private FilePath() {}

  /**
   * Returns the path.
   *
   * @throws SandkeeperException when there is none, or two, or it is no UTF-8 behind its
   *     percent-encoding
   */
  static String of(ServiceRequestContext context) {
    QueryParameters.requireOnly(context.queryParams(), PARAMETER);
    Optional<String> inPath = find(IN_PATH, context.rawPath());
    Optional<String> inQuery =
        find(IN_QUERY, context.rawPath()).map(query -> query.replace('+', ' '));
    if (inPath.isPresent() == inQuery.isPresent()) {
      throw SandkeeperException.invalidField(
          PARAMETER,
          (inPath.isPresent() ? "given twice" : "absent")
              + " (expected: behind /files/, or as ?path=)");
    }
    return decode(inPath.or(() -> inQuery).orElseThrow());
  }

  private static Optional<String> find(Pattern pattern, String text) {
    Matcher matcher = pattern.matcher(text);
    return matcher.matches() ? Optional.of(matcher.group(1)) : Optional.empty();
  }

  private static String decode(String encoded) {
    byte[] text = encoded.getBytes(StandardCharsets.UTF_8);
    ByteBuffer decoded = ByteBuffer.allocate(text.length);
    try {
      for (int i = 0; i < text.length; i++) {
        if (text[i] == '%') {
          decoded.put((byte) Integer.parseInt(encoded, i + 1, i + 3, HEX));
          i += 2;
        } else {
          decoded.put(text[i]);
        }
      }
      return StandardCharsets.UTF_8.newDecoder().decode(decoded.flip()).toString();
    } catch (CharacterCodingException | IllegalArgumentException | IndexOutOfBoundsException e) {
      throw SandkeeperException.invalidField(
          PARAMETER, encoded + " (expected: UTF-8, percent-encoded)");
    }
  }
}
