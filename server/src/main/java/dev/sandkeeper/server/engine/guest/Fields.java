package dev.sandkeeper.server.engine.guest;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Builds a payload of fields, each after its length. */
final class Fields {

  private final List<ByteBuffer> parts = new ArrayList<>();
  private int bytes;

  Fields add(byte[] field) {
    parts.add(ByteBuffer.allocate(Integer.BYTES).putInt(field.length).flip());
    parts.add(ByteBuffer.wrap(field));
    bytes = Math.addExact(bytes, Math.addExact(Integer.BYTES, field.length));
    return this;
  }

  Fields add(String field) {
    return add(field.getBytes(StandardCharsets.UTF_8));
  }

  /** Adds a name and its value. */
  Fields add(String name, String value) {
    return add(name).add(value);
  }

  /** Adds a name and its value. */
  Fields add(String name, byte[] value) {
    return add(name).add(value);
  }

  int bytes() {
    return bytes;
  }

  List<ByteBuffer> parts() {
    return parts;
  }
}
