package dev.sandkeeper.server.fuzz;

import build.buf.validate.DurationRules;
import build.buf.validate.FieldRules;
import build.buf.validate.Int32Rules;
import build.buf.validate.Int64Rules;
import build.buf.validate.StringRules;
import build.buf.validate.ValidateProto;
import com.google.api.FieldBehavior;
import com.google.api.FieldBehaviorProto;
import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.EnumValueDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.OneofDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.Message;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.random.RandomGenerator;
import java.util.regex.Pattern;

/**
 * Messages of any type, made from its descriptor: such as an honest client sends, by the rules of
 * the contract and with values that the server knows, and such with some values that none would
 * send.
 */
final class Messages {
  private static final int MAX_DEPTH = 5;
  private static final int MAX_HOSTILE = 3;

  /** What fits the patterns of the contract. */
  private static final List<String> WORDS =
      List.of("a", "t-1", "x1", "0.5", "aaaaaaaaaaaaaaaaaaaa", "PATH", "UTC", "file.txt", "1.5");

  private static final List<String> HOSTILE =
      List.of(
          "",
          " ",
          "\0",
          "a\0b",
          "\r\nx: y",
          "../../etc/passwd",
          "/",
          ".",
          "%00%ff",
          "'; drop table sandbox; --",
          "\\",
          "{}",
          "null",
          "-1",
          "NaN",
          "1e999",
          "9".repeat(400),
          "\u001b[2J\u007f\u0085",
          "\u202e\u2066\ufeff\ufffe\uffff",
          "\u0130\u0131\u00df\ufb01", // change their length in upper or lower case
          "e\u0301\u00e9",
          "e" + "\u0301".repeat(2000),
          "\ud83d\ude00\ud800\udc00\udbff\udfff",
          "\u2028\u2029",
          "a".repeat(63),
          "a".repeat(64),
          "a".repeat(256),
          "\u00e9".repeat(4096),
          "a".repeat(4097),
          "a".repeat(200_000),
          "[".repeat(5000),
          "a/".repeat(2000));

  private static final long[] INTEGERS = {
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    1_000_000,
    Integer.MAX_VALUE,
    Integer.MIN_VALUE,
    1L << 31,
    1L << 32,
    (1L << 53) + 1,
    Long.MAX_VALUE,
    Long.MIN_VALUE,
    Long.MAX_VALUE - 1,
    1_000_000_000_000L
  };

  private static final double[] FRACTIONS = {
    Double.NaN,
    Double.POSITIVE_INFINITY,
    Double.NEGATIVE_INFINITY,
    -0.0,
    Double.MIN_VALUE,
    Double.MAX_VALUE,
    -1,
    1e-300
  };

  /** Seconds and nanoseconds of times and spans: the ends of what is valid, and beyond. */
  private static final long[] SECONDS = {
    0,
    1,
    -1,
    60,
    86_400,
    253_402_300_799L,
    253_402_300_800L,
    -62_135_596_800L,
    -62_135_596_801L,
    315_576_000_000L,
    -315_576_000_000L,
    315_576_000_001L,
    Long.MAX_VALUE,
    Long.MIN_VALUE
  };

  private static final int[] NANOS = {0, 1, 999_999_999, 1_000_000_000, -1, Integer.MIN_VALUE};

  private final RandomGenerator random;
  private final Known known;

  Messages(RandomGenerator random, Known known) {
    this.random = random;
    this.known = known;
  }

  /** Makes a message that may well be valid. */
  DynamicMessage plausible(Descriptor type) {
    return plausible(type, 0);
  }

  /** Makes a message in which some values are none that an honest client sends. */
  DynamicMessage hostile(Descriptor type) {
    DynamicMessage.Builder message = plausible(type).toBuilder();
    for (int i = random.nextInt(MAX_HOSTILE); i >= 0; i--) {
      spoil(message, 0);
    }
    return message.build();
  }

  private DynamicMessage plausible(Descriptor type, int depth) {
    switch (type.getFullName()) {
      case "google.protobuf.Timestamp" -> {
        return span(type, 1_700_000_000L + random.nextLong(200_000_000L), random.nextInt(1000));
      }
      case "google.protobuf.FieldMask" -> {
        return DynamicMessage.getDefaultInstance(type);
      }
      default -> {}
    }
    DynamicMessage.Builder message = DynamicMessage.newBuilder(type);
    for (FieldDescriptor field : type.getFields()) {
      if (field.getRealContainingOneof() == null
          && depth < MAX_DEPTH
          && (isRequired(field) || random.nextInt(4) == 0)) {
        setPlausible(message, field, depth);
      }
    }
    for (OneofDescriptor oneof : type.getRealOneofs()) {
      if (random.nextInt(8) > 0) {
        setPlausible(message, oneof.getField(random.nextInt(oneof.getFieldCount())), depth);
      }
    }
    return message.build();
  }

  private void setPlausible(DynamicMessage.Builder message, FieldDescriptor field, int depth) {
    if (field.isRepeated()) {
      for (int i = random.nextInt(3); i >= 0; i--) {
        message.addRepeatedField(field, plausible(field, depth + 1));
      }
    } else {
      message.setField(field, plausible(field, depth + 1));
    }
  }

  private Object plausible(FieldDescriptor field, int depth) {
    FieldRules rules = rules(field);
    return switch (field.getJavaType()) {
      case STRING -> string(field, rules.getString());
      case INT -> Math.clamp(number(rules), Integer.MIN_VALUE, Integer.MAX_VALUE);
      case LONG -> number(rules);
      case BOOLEAN -> random.nextBoolean();
      case FLOAT -> random.nextFloat();
      case DOUBLE -> random.nextDouble();
      case BYTE_STRING -> ByteString.copyFromUtf8("some bytes\n");
      case ENUM -> {
        List<EnumValueDescriptor> values = field.getEnumType().getValues();
        yield values.get(Math.min(values.size() - 1, 1 + random.nextInt(values.size())));
      }
      case MESSAGE ->
          field.getMessageType().getFullName().equals("google.protobuf.Duration")
              ? duration(field.getMessageType(), rules.getDuration())
              : plausible(field.getMessageType(), depth);
    };
  }

  private String string(FieldDescriptor field, StringRules rules) {
    String value = known.pick(field.getName(), random);
    if (!value.isEmpty()) {
      return value;
    }
    if (rules.getUuid()) {
      return new UUID(random.nextLong(), random.nextLong()).toString();
    }
    if (rules.getInCount() > 0) {
      return rules.getIn(random.nextInt(rules.getInCount()));
    }
    Pattern pattern = Pattern.compile(rules.getPattern());
    List<String> fitting = WORDS.stream().filter(word -> pattern.matcher(word).find()).toList();
    return fitting.isEmpty() ? "a" : fitting.get(random.nextInt(fitting.size()));
  }

  /** Returns a number within its bounds, often at one. */
  private long number(FieldRules rules) {
    Int32Rules small = rules.getInt32();
    Int64Rules large = rules.getInt64();
    long least =
        Math.max(
            Math.max(small.getGte(), small.hasGt() ? small.getGt() + 1 : 0),
            Math.max(large.getGte(), large.hasGt() ? large.getGt() + 1 : 0));
    long most = Math.max(small.getLte(), large.getLte());
    return switch (random.nextInt(4)) {
      case 0 -> least;
      case 1 -> Math.max(least, most);
      default -> least + random.nextInt(10);
    };
  }

  private DynamicMessage duration(Descriptor type, DurationRules rules) {
    long least = Math.max(rules.getGte().getSeconds(), rules.getGt().getSeconds() + 1);
    return span(type, random.nextBoolean() ? least : Math.max(least, 10), 0);
  }

  /** Sets one field of a message, or of one within it, to what nobody sends. */
  private void spoil(Message.Builder message, int depth) {
    List<FieldDescriptor> fields = message.getDescriptorForType().getFields();
    if (fields.isEmpty()) {
      return;
    }
    FieldDescriptor field = fields.get(random.nextInt(fields.size()));
    if (random.nextInt(8) == 0) {
      message.clearField(field);
    } else if (field.isRepeated()) {
      spoilRepeated(message, field, depth);
    } else {
      message.setField(field, hostile(field, message.getField(field), depth));
    }
  }

  private void spoilRepeated(Message.Builder message, FieldDescriptor field, int depth) {
    int count = message.getRepeatedFieldCount(field);
    if (count > 0 && random.nextBoolean()) {
      int index = random.nextInt(count);
      message.setRepeatedField(
          field, index, hostile(field, message.getRepeatedField(field, index), depth));
      return;
    }
    Object value = hostile(field, plausible(field, MAX_DEPTH), depth);
    boolean large =
        (value instanceof String text && text.length() > 1000)
            || (value instanceof Message part && part.getSerializedSize() > 1000);
    for (int i = large ? 2 : List.of(1, 2, 65, 2000).get(random.nextInt(4)); i > 0; i--) {
      message.addRepeatedField(field, value);
    }
  }

  private Object hostile(FieldDescriptor field, Object present, int depth) {
    return switch (field.getJavaType()) {
      case STRING -> hostileString(field);
      case INT -> (int) INTEGERS[random.nextInt(INTEGERS.length)];
      case LONG -> INTEGERS[random.nextInt(INTEGERS.length)] + random.nextInt(3) - 1;
      case BOOLEAN -> random.nextBoolean();
      case FLOAT -> (float) FRACTIONS[random.nextInt(FRACTIONS.length)];
      case DOUBLE -> FRACTIONS[random.nextInt(FRACTIONS.length)];
      case BYTE_STRING -> {
        byte[] bytes = new byte[List.of(0, 1, 31, 33, 70_000).get(random.nextInt(5))];
        random.nextBytes(bytes);
        yield ByteString.copyFrom(bytes);
      }
      case ENUM ->
          field
              .getEnumType()
              .findValueByNumberCreatingIfUnknown(
                  List.of(0, -1, 99, Integer.MAX_VALUE).get(random.nextInt(4)));
      case MESSAGE ->
          switch (field.getMessageType().getFullName()) {
            case "google.protobuf.Timestamp", "google.protobuf.Duration" ->
                span(
                    field.getMessageType(),
                    SECONDS[random.nextInt(SECONDS.length)],
                    NANOS[random.nextInt(NANOS.length)]);
            default -> {
              DynamicMessage.Builder inner =
                  DynamicMessage.newBuilder(field.getMessageType()).mergeFrom((Message) present);
              if (depth < MAX_DEPTH) {
                spoil(inner, depth + 1);
              }
              yield inner.build();
            }
          };
    };
  }

  /** Returns a string that nobody sends, or one that another field would take. */
  private String hostileString(FieldDescriptor field) {
    return switch (random.nextInt(6)) {
      case 0 -> known.pick("sandbox_id", random);
      case 1 -> known.pick(field.getName(), random) + HOSTILE.get(random.nextInt(20));
      default -> HOSTILE.get(random.nextInt(HOSTILE.size()));
    };
  }

  private static DynamicMessage span(Descriptor type, long seconds, int nanos) {
    return DynamicMessage.newBuilder(type)
        .setField(type.findFieldByName("seconds"), seconds)
        .setField(type.findFieldByName("nanos"), nanos)
        .build();
  }

  /** Spoils a message's bytes: what is sent is no message, or one with fields that nobody knows. */
  byte[] garble(byte[] message) {
    List<Byte> bytes = new ArrayList<>();
    for (byte one : message.length > 5000 ? new byte[0] : message) {
      bytes.add(one);
    }
    for (int i = random.nextInt(MAX_HOSTILE); i >= 0; i--) {
      int at = random.nextInt(bytes.size() + 1);
      switch (random.nextInt(6)) {
        case 0 -> bytes.subList(at, bytes.size()).clear(); // cut short
        case 1 -> bytes.add(at, (byte) random.nextInt(256));
        case 2 -> {
          if (at < bytes.size()) {
            bytes.set(at, (byte) (bytes.get(at) ^ (1 << random.nextInt(8))));
          }
        }
        case 3 -> bytes.addAll(at, List.of((byte) 0xff, (byte) 0xc0, (byte) 0x80)); // no UTF-8
        case 4 -> { // groups within groups, or lengths without end
          byte what = (byte) (random.nextBoolean() ? 0x0b : 0xff);
          for (int n = 0; n < 2000; n++) {
            bytes.add(what);
          }
        }
        default -> bytes.addAll(at, asList(HOSTILE.get(random.nextInt(20))));
      }
    }
    byte[] garbled = new byte[bytes.size()];
    for (int i = 0; i < garbled.length; i++) {
      garbled[i] = bytes.get(i);
    }
    return garbled;
  }

  private static List<Byte> asList(String text) {
    List<Byte> bytes = new ArrayList<>();
    for (byte one : text.getBytes(StandardCharsets.UTF_8)) {
      bytes.add(one);
    }
    return bytes;
  }

  private static boolean isRequired(FieldDescriptor field) {
    return rules(field).getRequired()
        || field
            .getOptions()
            .getExtension(FieldBehaviorProto.fieldBehavior)
            .contains(FieldBehavior.REQUIRED);
  }

  private static FieldRules rules(FieldDescriptor field) {
    FieldRules rules = field.getOptions().getExtension(ValidateProto.field);
    return field.isRepeated() ? rules.getRepeated().getItems() : rules;
  }
}
