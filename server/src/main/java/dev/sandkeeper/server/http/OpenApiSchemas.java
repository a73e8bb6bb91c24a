package dev.sandkeeper.server.http;

import build.buf.validate.FieldRules;
import build.buf.validate.StringRules;
import build.buf.validate.ValidateProto;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.api.FieldBehavior;
import com.google.api.FieldBehaviorProto;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.EnumDescriptor;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.OneofDescriptor;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** The messages of the contract as JSON Schema, with their comments and what rules it can say. */
final class OpenApiSchemas {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;
  private static final String INTEGER_TEXT = "^-?[0-9]+$";
  private static final String DURATION_TEXT = "^-?[0-9]+(\\.[0-9]{1,9})?s$";

  private final Comments comments;
  private final Map<String, ObjectNode> schemas = new TreeMap<>();

  OpenApiSchemas(Comments comments) {
    this.comments = comments;
  }

  /** Returns every schema that was referred to, by name. */
  Map<String, ObjectNode> all() {
    return schemas;
  }

  /** Returns a reference to a message. */
  ObjectNode reference(Descriptor message) {
    if (!schemas.containsKey(message.getName())) {
      schemas.put(message.getName(), JSON.objectNode()); // it may lead to itself
      schemas.put(message.getName(), object(message, _ -> true));
    }
    return reference(message.getName());
  }

  /** Returns a message as a schema of its own, with only some of its fields. */
  ObjectNode object(Descriptor message, Predicate<FieldDescriptor> which) {
    List<FieldDescriptor> fields = message.getFields().stream().filter(which).toList();
    ObjectNode schema =
        described(JSON.objectNode().put("type", "object"), comments.of(message) + oneofs(message));
    ObjectNode properties = schema.putObject("properties");
    fields.forEach(field -> properties.set(field.getJsonName(), field(field)));
    List<FieldDescriptor> required =
        fields.stream().filter(field -> has(field, FieldBehavior.REQUIRED)).toList();
    if (!required.isEmpty()) {
      required.forEach(field -> schema.withArray("required").add(field.getJsonName()));
    }
    return schema;
  }

  /** Returns a field's schema, with its comment. */
  ObjectNode field(FieldDescriptor field) {
    ObjectNode schema = described(unruled(field), comments.of(field));
    if (has(field, FieldBehavior.OUTPUT_ONLY)) {
      schema.put("readOnly", true);
    }
    return schema;
  }

  static boolean has(FieldDescriptor field, FieldBehavior behavior) {
    return field.getOptions().getExtension(FieldBehaviorProto.fieldBehavior).contains(behavior);
  }

  private ObjectNode unruled(FieldDescriptor field) {
    FieldRules rules = field.getOptions().getExtension(ValidateProto.field);
    if (field.isMapField()) {
      ObjectNode map = JSON.objectNode().put("type", "object");
      FieldDescriptor value = field.getMessageType().findFieldByName("value");
      map.set("additionalProperties", single(value, rules.getMap().getValues()));
      if (rules.getMap().hasMaxPairs()) {
        map.put("maxProperties", rules.getMap().getMaxPairs());
      }
      return map;
    }
    if (!field.isRepeated()) {
      return single(field, rules);
    }
    ObjectNode array = JSON.objectNode().put("type", "array");
    array.set("items", single(field, rules.getRepeated().getItems()));
    if (rules.getRepeated().hasMaxItems()) {
      array.put("maxItems", rules.getRepeated().getMaxItems());
    }
    return array;
  }

  private ObjectNode single(FieldDescriptor field, FieldRules rules) {
    return switch (field.getJavaType()) {
      case STRING -> string(rules.getString());
      case BYTE_STRING -> type("string").put("contentEncoding", "base64");
      case BOOLEAN -> type("boolean");
      case FLOAT, DOUBLE -> type("number");
      case INT -> {
        ObjectNode schema = type("integer").put("format", "int32");
        if (rules.getInt32().hasGte()) {
          schema.put("minimum", rules.getInt32().getGte());
        }
        if (rules.getInt32().hasLte()) {
          schema.put("maximum", rules.getInt32().getLte());
        }
        yield schema;
      }
      // Text, for a JavaScript number does not hold them all.
      case LONG -> type("string").put("format", "int64").put("pattern", INTEGER_TEXT);
      case ENUM -> reference(field.getEnumType());
      case MESSAGE ->
          switch (field.getMessageType().getFullName()) {
            case "google.protobuf.Timestamp" -> type("string").put("format", "date-time");
            case "google.protobuf.Duration" -> type("string").put("pattern", DURATION_TEXT);
            // The fields' names in JSON, with commas between them.
            case "google.protobuf.FieldMask" -> type("string");
            default -> reference(field.getMessageType());
          };
    };
  }

  private static ObjectNode string(StringRules rules) {
    ObjectNode schema = type("string");
    if (rules.hasMinLen()) {
      schema.put("minLength", rules.getMinLen());
    }
    if (rules.hasMaxLen()) {
      schema.put("maxLength", rules.getMaxLen());
    }
    if (rules.hasPattern()) {
      schema.put("pattern", rules.getPattern());
    }
    return rules.getUuid() ? schema.put("format", "uuid") : schema;
  }

  private ObjectNode reference(EnumDescriptor type) {
    if (!schemas.containsKey(type.getName())) {
      ObjectNode schema = type("string");
      type.getValues().forEach(value -> schema.withArray("enum").add(value.getName()));
      String values =
          type.getValues().stream().map(this::described).collect(Collectors.joining("\n"));
      schemas.put(type.getName(), described(schema, comments.of(type) + "\n\n" + values));
    }
    return reference(type.getName());
  }

  private String described(EnumValueDescriptor value) {
    return "- `%s`: %s".formatted(value.getName(), comments.of(value));
  }

  private static String oneofs(Descriptor message) {
    return message.getRealOneofs().stream()
        .map(OneofDescriptor::getFields)
        .map(fields ->
            fields.stream()
                .map(FieldDescriptor::getJsonName)
                .collect(Collectors.joining(", ", "\n\nAt most one of: ", ".")))
        .collect(Collectors.joining());
  }

  private static ObjectNode reference(String name) {
    return JSON.objectNode().put("$ref", "#/components/schemas/" + name);
  }

  private static ObjectNode type(String type) {
    return JSON.objectNode().put("type", type);
  }

  private static ObjectNode described(ObjectNode schema, String comment) {
    return comment.isEmpty() ? schema : schema.put("description", comment);
  }
}
