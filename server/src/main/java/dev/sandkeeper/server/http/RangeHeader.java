package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpHeaders;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.RequestHeaders;
import dev.sandkeeper.server.engine.FileInfo;
import dev.sandkeeper.server.execution.FileRange;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The range that a request asks for, by RFC 9110, section 14. */
final class RangeHeader {
  private static final Pattern ONE_RANGE =
      Pattern.compile("bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))");

  private RangeHeader() {}

  /**
   * Returns the part of the file, never empty; the whole file when that is what is sent. That is so
   * for several ranges, for what is no range, and for If-Range, as files have no validators.
   *
   * @throws HttpFailure with 416 when the file has nothing there
   */
  static FileRange of(RequestHeaders headers, FileInfo file) {
    List<String> values = headers.getAll(HttpHeaderNames.RANGE);
    if (values.size() != 1 || headers.contains(HttpHeaderNames.IF_RANGE) || !file.sizeKnown()) {
      return FileRange.WHOLE;
    }
    Matcher range = ONE_RANGE.matcher(values.getFirst().strip());
    return range.matches() ? of(range, file.sizeBytes()) : FileRange.WHOLE;
  }

  private static FileRange of(Matcher range, long size) {
    Optional<Long> suffix = Optional.ofNullable(range.group(3)).map(Long::parseLong);
    if (suffix.isPresent()) {
      long length = Math.min(suffix.get(), size);
      return checked(size - length, length, size);
    }
    long first = Long.parseLong(range.group(1));
    long last = range.group(2).isEmpty() ? size - 1 : Long.parseLong(range.group(2));
    if (!range.group(2).isEmpty() && last < first) {
      return FileRange.WHOLE; // no range at all
    }
    return checked(first, Math.min(last, size - 1) - first + 1, size);
  }

  private static FileRange checked(long offset, long length, long size) {
    if (length < 1) {
      throw new HttpFailure(
          HttpStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
          "The file has no bytes in that range.",
          HttpHeaders.of(HttpHeaderNames.CONTENT_RANGE, "bytes */" + size));
    }
    return new FileRange(offset, length);
  }
}
