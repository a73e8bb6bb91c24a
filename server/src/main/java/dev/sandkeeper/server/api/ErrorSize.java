package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandkeeperException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Keeps what a failure says within what clients of gRPC read: a failure travels in trailers, of
 * which they take 8 KiB in all, and take a longer one for a broken connection.
 */
final class ErrorSize {
  /** A google.rpc.Status, whose bytes become a third more in a trailer. */
  static final int MAX_STATUS_BYTES = 4096;

  private static final int MAX_VALUE_BYTES = 200;
  private static final int MAX_VIOLATIONS = 8;

  private ErrorSize() {}

  /** Returns the failure with its values cut, and the first of its violations only. */
  static SandkeeperException cut(SandkeeperException failure) {
    SandkeeperException result =
        failure.violations().isEmpty()
            ? SandkeeperException.of(failure.reason(), String.valueOf(failure.getMessage()))
            : SandkeeperException.invalidFields(cut(failure.violations()));
    for (Map.Entry<String, String> entry : failure.context().entrySet()) {
      result = result.with(entry.getKey(), cut(entry.getValue()));
    }
    return failure.retryDelay().map(result::retryAfter).orElse(result);
  }

  private static List<FieldViolation> cut(List<FieldViolation> violations) {
    List<FieldViolation> first = new ArrayList<>();
    for (FieldViolation violation :
        violations.subList(0, Math.min(MAX_VIOLATIONS, violations.size()))) {
      first.add(new FieldViolation(cut(violation.field()), cut(violation.description())));
    }
    if (violations.size() > MAX_VIOLATIONS) {
      first.add(new FieldViolation("", (violations.size() - MAX_VIOLATIONS) + " more violations"));
    }
    return first;
  }

  /** Returns the beginning of a text that is too long, which ends in three full stops then. */
  static String cut(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    if (bytes.length <= MAX_VALUE_BYTES) {
      return text;
    }
    int end = MAX_VALUE_BYTES;
    while ((bytes[end] & 0xc0) == 0x80) { // within a character
      end--;
    }
    return new String(bytes, 0, end, StandardCharsets.UTF_8) + "...";
  }
}
