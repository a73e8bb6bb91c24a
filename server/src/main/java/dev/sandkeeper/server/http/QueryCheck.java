package dev.sandkeeper.server.http;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor.JavaType;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import com.linecorp.armeria.common.QueryParams;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.SandkeeperException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** Holds query parameters to the contract, as a body's fields are: none unknown, none misread. */
final class QueryCheck {
  private static final int LONGEST_SHOWN = 64;

  private QueryCheck() {}

  /**
   * Checks the parameters of a call.
   *
   * @throws SandkeeperException with every parameter that is unknown, is given too often or has a
   *     value of a wrong type
   */
  static void check(Binding binding, QueryParams parameters) {
    List<FieldViolation> violations = new ArrayList<>();
    for (String name : parameters.names()) {
      problem(binding, name, parameters.getAll(name))
          .ifPresent(problem -> violations.add(new FieldViolation(name, problem)));
    }
    if (!violations.isEmpty()) {
      throw SandkeeperException.invalidFields(violations);
    }
  }

  private static Optional<String> problem(Binding binding, String name, List<String> values) {
    Optional<FieldDescriptor> found =
        binding.queryFields().stream()
            .filter(field -> field.getName().equals(name) || field.getJsonName().equals(name))
            .findFirst();
    if (found.isEmpty()) {
      return Optional.of("no parameter of this call (expected: " + known(binding) + ")");
    }
    FieldDescriptor field = found.get();
    if (values.size() > 1 && !field.isRepeated()) {
      return Optional.of("given " + values.size() + " times (expected: once)");
    }
    return values.stream()
        .filter(value -> !fits(field, value))
        .findFirst()
        .map(value -> shown(value) + " (expected: " + expectation(field) + ")");
  }

  private static boolean fits(FieldDescriptor field, String value) {
    if (field.getJavaType() == JavaType.BOOLEAN) {
      return value.equals("true") || value.equals("false");
    }
    String json = "\"" + value.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    try {
      JsonFormat.parser()
          .merge(
              "{\"%s\": %s}"
                  .formatted(field.getJsonName(), field.isRepeated() ? "[" + json + "]" : json),
              DynamicMessage.newBuilder(field.getContainingType()));
      return true;
    } catch (InvalidProtocolBufferException e) {
      return false;
    }
  }

  private static String expectation(FieldDescriptor field) {
    return switch (field.getJavaType()) {
      case INT, LONG -> "a whole number";
      case BOOLEAN -> "true or false";
      case ENUM ->
          field.getEnumType().getValues().stream()
              .skip(1) // the first says that there is none
              .map(value -> value.getName())
              .collect(Collectors.joining(", "));
      case MESSAGE ->
          switch (field.getMessageType().getFullName()) {
            case "google.protobuf.Timestamp" -> "a time such as 2026-01-31T12:00:00Z";
            case "google.protobuf.Duration" -> "a duration in seconds, such as 1.5s";
            default -> "no parameter";
          };
      case BYTE_STRING -> "base64";
      case STRING, FLOAT, DOUBLE -> "a value";
    };
  }

  private static String known(Binding binding) {
    String names =
        binding.queryFields().stream()
            .map(FieldDescriptor::getName)
            .collect(Collectors.joining(", "));
    return names.isEmpty() ? "none" : names;
  }

  private static String shown(String value) {
    return value.length() <= LONGEST_SHOWN ? value : value.length() + " characters";
  }
}
