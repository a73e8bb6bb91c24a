package dev.sandkeeper.server.http;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.TypeRegistry;
import com.google.protobuf.util.JsonFormat;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.v1.ErrorDetails;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;

/** Messages as JSON, by the mapping that protobuf defines. Strict in what it takes. */
final class ProtoJson {
  private static final JsonFactory JSON =
      JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();
  private static final JsonFormat.Printer PRINTER =
      JsonFormat.printer().omittingInsignificantWhitespace().usingTypeRegistry(errorDetails());
  private static final JsonFormat.Parser PARSER = JsonFormat.parser();

  private ProtoJson() {}

  /** Returns a message on one line. */
  static String print(Message message) {
    try {
      return PRINTER.print(message);
    } catch (InvalidProtocolBufferException e) {
      throw new IllegalStateException("a message of an unknown type", e);
    }
  }

  /**
   * Reads a body into a message.
   *
   * @throws SandkeeperException when it is no JSON object in UTF-8, or has a key twice, a field
   *     that the message does not know or a value of a wrong type
   */
  static void parse(byte[] body, Message.Builder message) {
    requireObject(body);
    try {
      PARSER.merge(new String(body, StandardCharsets.UTF_8), message);
    } catch (InvalidProtocolBufferException e) {
      throw invalidBody(firstLine(e));
    }
  }

  /**
   * Checks that a body is one JSON object in UTF-8 in which no key stands twice.
   *
   * @throws SandkeeperException when it is not
   */
  static void requireObject(byte[] body) {
    if (body.length == 0) {
      throw invalidBody("empty");
    }
    try (JsonParser parser = JSON.createParser(body)) {
      if (parser.nextToken() != JsonToken.START_OBJECT) {
        throw invalidBody("no JSON object");
      }
      parser.skipChildren();
      if (parser.nextToken() != null) {
        throw invalidBody("more than one JSON value");
      }
    } catch (StreamConstraintsException e) {
      throw invalidBody("nested too deep, or with a name or number that is too long");
    } catch (JsonProcessingException e) {
      throw invalidBody(
          "line %d, column %d: no JSON in UTF-8, or a key that stands twice"
              .formatted(e.getLocation().getLineNr(), e.getLocation().getColumnNr()));
    } catch (IOException e) {
      throw new UncheckedIOException(e); // it is all in memory
    }
  }

  private static SandkeeperException invalidBody(String problem) {
    return SandkeeperException.invalidField(
        "body", problem + " (expected: a JSON object, {} for defaults only)");
  }

  private static String firstLine(InvalidProtocolBufferException problem) {
    return String.valueOf(problem.getMessage()).lines().findFirst().orElse("not readable");
  }

  private static TypeRegistry errorDetails() {
    TypeRegistry.Builder registry = TypeRegistry.newBuilder();
    ErrorDetails.getDescriptor().getFields().stream()
        .map(FieldDescriptor::getMessageType)
        .forEach(registry::add);
    return registry.build();
  }
}
