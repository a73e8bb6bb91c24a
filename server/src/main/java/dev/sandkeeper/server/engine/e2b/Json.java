package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** Reads E2B's answers: what is unknown is passed over, what is missing is named. */
final class Json {
  private static final ObjectMapper MAPPER =
      JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

  private Json() {}

  /** An answer is not what is documented; the message says where. */
  static final class MalformedException extends Exception {
    private static final long serialVersionUID = 1L;

    MalformedException(String message) {
      super(message);
    }
  }

  /** Returns an empty object, to be filled. */
  static ObjectNode object() {
    return MAPPER.createObjectNode();
  }

  static byte[] bytes(JsonNode node) {
    try {
      return MAPPER.writeValueAsBytes(node);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Reads one value. */
  static JsonNode parse(byte[] bytes) throws MalformedException {
    JsonNode node;
    try {
      node = MAPPER.readTree(bytes);
    } catch (IOException e) {
      // Not what Jackson says, which quotes the text.
      throw new MalformedException("is not JSON");
    }
    if (node.isMissingNode()) {
      throw new MalformedException("is empty (expected: JSON)");
    }
    return node;
  }

  /** Returns a text that must be there. */
  static String text(JsonNode node, String field) throws MalformedException {
    JsonNode value = node.path(field);
    if (!value.isTextual() || value.textValue().isEmpty()) {
      throw missing(field, value, "a text");
    }
    return value.textValue();
  }

  /** Returns a text, if it is there and not empty. */
  static Optional<String> optionalText(JsonNode node, String field) {
    return Optional.ofNullable(node.path(field).textValue()).filter(text -> !text.isEmpty());
  }

  /** Returns a whole number that must be there. */
  static long number(JsonNode node, String field) throws MalformedException {
    JsonNode value = node.path(field);
    if (!value.isNumber() || !value.canConvertToLong()) {
      throw missing(field, value, "a number");
    }
    return value.longValue();
  }

  /** Returns a point in time that must be there. */
  static Instant time(JsonNode node, String field) throws MalformedException {
    String text = text(node, field);
    try {
      return OffsetDateTime.parse(text).toInstant();
    } catch (DateTimeException e) {
      throw missing(field, node.path(field), "a time as of RFC 3339");
    }
  }

  /** Returns an object of texts; empty when it is not there. */
  static Map<String, String> texts(JsonNode node, String field) {
    Map<String, String> texts = new TreeMap<>();
    for (Map.Entry<String, JsonNode> property : node.path(field).properties()) {
      if (property.getValue().isTextual()) {
        texts.put(property.getKey(), property.getValue().textValue());
      }
    }
    return Map.copyOf(texts);
  }

  private static MalformedException missing(String field, JsonNode value, String expected) {
    String found = value.isMissingNode() ? "missing" : value.getNodeType().name();
    return new MalformedException(field + ": " + found + " (expected: " + expected + ")");
  }
}
