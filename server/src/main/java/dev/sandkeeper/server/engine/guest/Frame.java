package dev.sandkeeper.server.engine.guest;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * One message between engine and agent.
 *
 * @param type one of the constants below
 * @param offset a number that goes with it, for output the position in its stream
 * @param payload its content; valid until the next frame is read
 */
record Frame(int type, long offset, ByteBuffer payload) {

  static final int HEADER_BYTES = 13;

  // From the agent.
  static final int HELLO = 1;
  static final int STARTED = 2;
  static final int STDOUT = 3;
  static final int STDERR = 4;
  static final int RESULT = 5;
  static final int ERROR = 6;
  static final int FINISHED = 7;
  static final int DATA = 8;
  static final int DONE = 9;
  static final int FAULT = 10;
  static final int ENTRY = 11;
  static final int REFUSED = 12;
  static final int GOODBYE = 13;
  static final int CHANGE = 14;
  static final int INPUT_STATE = 20;

  // From the engine.
  static final int OPEN = 32;
  static final int RENEW = 33;
  static final int STOP = 34;
  static final int SETUP = 35;
  static final int REQUEST = 36;
  static final int SIGNAL = 37;
  static final int CHUNK = 38;
  static final int COMMIT = 39;
  static final int ACKNOWLEDGE = 40;
  static final int RESUME = 41;
  static final int FORGET = 42;
  static final int DROP = 43;
  static final int INTERRUPT = 44;
  static final int RESTART = 45;
  static final int DELETE = 46;
  static final int INPUT = 50;
  static final int CLOSE_INPUT = 51;
  static final int RESIZE = 52;

  /** The most bytes of a payload that an agent may send: a guest is not to choose our memory. */
  static final int MAX_PAYLOAD_BYTES = 1024 * 1024;

  private static final int MAX_FIELDS = 64;

  /** Reads the payload as fields, each after its length. */
  List<byte[]> fields() throws ProtocolException {
    List<byte[]> fields = new ArrayList<>();
    ByteBuffer rest = payload.duplicate();
    while (rest.hasRemaining()) {
      if (rest.remaining() < Integer.BYTES || fields.size() == MAX_FIELDS) {
        throw new ProtocolException("fields of frame type " + type);
      }
      int size = rest.getInt();
      if (size < 0 || size > rest.remaining()) {
        throw new ProtocolException("field size " + size);
      }
      byte[] field = new byte[size];
      rest.get(field);
      fields.add(field);
    }
    return fields;
  }

  /** Reads the payload as a known number of texts. */
  List<String> texts(int count) throws ProtocolException {
    return fields(count).stream().map(field -> new String(field, StandardCharsets.UTF_8)).toList();
  }

  /** Reads the payload as a known number of fields. */
  List<byte[]> fields(int count) throws ProtocolException {
    List<byte[]> fields = fields();
    if (fields.size() != count) {
      throw new ProtocolException(fields.size() + " fields in frame type " + type);
    }
    return fields;
  }
}
