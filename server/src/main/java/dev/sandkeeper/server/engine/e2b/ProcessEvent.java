package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.ByteBuffer;

/** What the daemon tells of a process. */
sealed interface ProcessEvent {

  /** It runs. */
  record Started(long pid) implements ProcessEvent {}

  /** It wrote to its standard output. */
  record Stdout(ByteBuffer data) implements ProcessEvent {}

  /** It wrote to its standard error. */
  record Stderr(ByteBuffer data) implements ProcessEvent {}

  /**
   * It is over.
   *
   * @param exitCode -1 after a signal
   * @param status as the daemon puts it, such as {@code exit status 0} or {@code signal: killed}
   */
  record Ended(int exitCode, String status) implements ProcessEvent {}

  /** Nothing happened; also what this server does not know. */
  record Silence() implements ProcessEvent {}

  /** Reads what one message of a stream holds. Numbers of zero are left out there. */
  static ProcessEvent read(JsonNode message) throws Json.MalformedException {
    JsonNode event = message.path("event");
    JsonNode data = event.path("data");
    if (event.has("start")) {
      return new Started(Json.number(event.path("start"), "pid"));
    }
    if (data.has("stdout")) {
      return new Stdout(bytes(data.path("stdout")));
    }
    if (data.has("stderr")) {
      return new Stderr(bytes(data.path("stderr")));
    }
    if (event.has("end")) {
      JsonNode end = event.path("end");
      return new Ended(end.path("exitCode").intValue(), end.path("status").asText());
    }
    return new Silence();
  }

  private static ByteBuffer bytes(JsonNode value) throws Json.MalformedException {
    try {
      byte[] bytes = value.isTextual() ? value.binaryValue() : null;
      if (bytes == null) {
        throw new Json.MalformedException("output: " + value.getNodeType() + " (expected: base64)");
      }
      return ByteBuffer.wrap(bytes);
    } catch (IOException e) {
      throw new Json.MalformedException("output: not base64");
    }
  }
}
