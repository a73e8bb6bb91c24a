package dev.sandkeeper.server.api;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Duration;
import com.google.protobuf.Message;
import com.google.protobuf.Timestamp;
import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.server.base.FieldViolation;
import java.util.ArrayList;
import java.util.List;

/**
 * Finds times and durations that are none by protobuf's own definition, such as one of more than
 * 10,000 years, or of nanoseconds that make up seconds. Nothing can be done with them: the rules of
 * the contract do not hold for them but fail.
 */
final class TimeRanges {
  private TimeRanges() {}

  /** Returns a violation for each that is none, however deep in the message. */
  static List<FieldViolation> violations(Message message) {
    List<FieldViolation> violations = new ArrayList<>();
    message.getAllFields().forEach((field, value) -> add(violations, "", field, value));
    return violations;
  }

  private static void add(
      List<FieldViolation> violations, String parent, FieldDescriptor field, Object value) {
    if (field.getJavaType() != FieldDescriptor.JavaType.MESSAGE) {
      return;
    }
    String path = parent + field.getName();
    if (field.isRepeated()) {
      List<?> all = (List<?>) value;
      for (int i = 0; i < all.size(); i++) {
        add(violations, path + "[" + i + "]", (Message) all.get(i));
      }
    } else {
      add(violations, path, (Message) value);
    }
  }

  private static void add(List<FieldViolation> violations, String path, Message message) {
    switch (message) {
      case Timestamp time when !Timestamps.isValid(time) ->
          violations.add(
              new FieldViolation(
                  path,
                  "%d s and %d ns since 1970 (expected: a time in the years 1 to 9999)"
                      .formatted(time.getSeconds(), time.getNanos())));
      case Duration duration when !Durations.isValid(duration) ->
          violations.add(
              new FieldViolation(
                  path,
                  "%d s and %d ns (expected: a duration of at most 10,000 years)"
                      .formatted(duration.getSeconds(), duration.getNanos())));
      default ->
          message
              .getAllFields()
              .forEach((field, value) -> add(violations, path + ".", field, value));
    }
  }
}
