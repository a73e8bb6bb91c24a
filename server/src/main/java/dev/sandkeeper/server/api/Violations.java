package dev.sandkeeper.server.api;

import build.buf.protovalidate.Violation;
import build.buf.validate.FieldPath;
import build.buf.validate.FieldPathElement;
import com.google.protobuf.Descriptors.FieldDescriptor.JavaType;
import dev.sandkeeper.server.base.FieldViolation;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Words for what is wrong with a field: its path, its value and what was expected. */
final class Violations {
  private static final int LONGEST_SHOWN = 64;

  private Violations() {}

  static FieldViolation fieldViolation(Violation violation) {
    build.buf.validate.Violation proto = violation.toProto();
    return new FieldViolation(
        path(proto.getField()), shown(violation.getFieldValue()) + ": " + proto.getMessage());
  }

  private static String path(FieldPath path) {
    return path.getElementsList().stream()
        .map(Violations::element)
        .collect(Collectors.joining("."));
  }

  private static String element(FieldPathElement element) {
    String name = element.getFieldName();
    return switch (element.getSubscriptCase()) {
      case INDEX -> name + "[" + element.getIndex() + "]";
      case STRING_KEY -> name + "[\"" + element.getStringKey() + "\"]";
      default -> name;
    };
  }

  /** Returns the value, or for what is long, binary or composed its size or kind. */
  private static String shown(Violation.@Nullable FieldValue field) {
    if (field == null) {
      return "the message";
    }
    Object value = field.getValue();
    JavaType type = field.getDescriptor().getJavaType();
    return switch (type) {
      case STRING -> {
        String text = String.valueOf(value);
        yield text.length() <= LONGEST_SHOWN && !field.getDescriptor().isMapField()
            ? "\"" + text + "\""
            : text.length() + " characters";
      }
      case BYTE_STRING -> "bytes";
      case MESSAGE -> "the message";
      case INT, LONG, FLOAT, DOUBLE, BOOLEAN, ENUM -> String.valueOf(value);
    };
  }
}
