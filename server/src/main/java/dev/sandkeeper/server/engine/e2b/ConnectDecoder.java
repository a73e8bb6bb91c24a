package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.util.Optional;

/**
 * Takes the messages out of a stream of the Connect protocol, however its bytes are cut. Every
 * message stands behind its flags (one byte) and its length (four, in network order); the last one
 * has the flag of the end, and without it the stream is not whole.
 */
final class ConnectDecoder {
  private static final int HEADER_BYTES = 5;
  private static final int DATA = 0;
  private static final int END = 2;

  /** Much more than the daemon puts into one, which is 32 KiB of output. */
  private static final int MAX_MESSAGE_BYTES = 8 * 1024 * 1024;

  private final Inflow inflow = new Inflow();
  private boolean ended;

  /** Takes more of the stream. */
  void add(ByteBuffer bytes) {
    inflow.add(bytes);
  }

  /**
   * Returns the next message that is there whole.
   *
   * @throws Json.MalformedException when the stream is not as documented
   * @throws E2bException the error by which the other end ended the stream
   */
  Optional<JsonNode> next() throws Json.MalformedException {
    if (ended && inflow.size() > 0) {
      throw new Json.MalformedException("goes on after its end");
    }
    if (inflow.size() < HEADER_BYTES) {
      return Optional.empty();
    }
    ByteBuffer head = inflow.peek();
    int flags = head.get();
    int length = head.getInt();
    if (flags != DATA && flags != END) {
      throw new Json.MalformedException("has the flags " + flags + " (expected: 0 or 2)");
    }
    if (length < 0 || length > MAX_MESSAGE_BYTES) {
      throw new Json.MalformedException("has a message of " + length + " bytes");
    }
    if (inflow.size() < HEADER_BYTES + length) {
      return Optional.empty();
    }
    inflow.skip(HEADER_BYTES);
    JsonNode json = Json.parse(inflow.take(length));
    if (flags == DATA) {
      return Optional.of(json);
    }
    ended = true;
    if (inflow.size() > 0) {
      throw new Json.MalformedException("goes on after its end");
    }
    JsonNode error = json.path("error");
    if (!error.isMissingNode()) {
      throw failure(error);
    }
    return Optional.empty();
  }

  /** Returns whether the end of the stream was there. */
  boolean ended() {
    return ended;
  }

  private static E2bException failure(JsonNode error) {
    String code = Json.optionalText(error, "code").orElse("unknown");
    String message = Json.optionalText(error, "message").orElse("");
    E2bException.Kind kind =
        switch (code) {
          case "not_found" -> E2bException.Kind.NOT_FOUND;
          case "unauthenticated", "permission_denied" -> E2bException.Kind.UNAUTHENTICATED;
          case "resource_exhausted" -> E2bException.Kind.RATE_LIMITED;
          case "unavailable", "internal", "aborted", "deadline_exceeded", "canceled", "unknown" ->
              E2bException.Kind.UNAVAILABLE;
          default -> E2bException.Kind.REFUSED;
        };
    return E2bException.streamEnded(
        kind, code, HttpCalls.line("the stream ended: " + code + " " + message));
  }

  /** Puts a message of data into the form in which it travels. */
  static byte[] envelope(byte[] message) {
    return ByteBuffer.allocate(HEADER_BYTES + message.length)
        .put((byte) DATA)
        .putInt(message.length)
        .put(message)
        .array();
  }
}
