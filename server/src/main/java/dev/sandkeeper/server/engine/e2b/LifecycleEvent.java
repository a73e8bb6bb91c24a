package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * Something that happened to a sandbox.
 *
 * @param type such as {@code sandbox.lifecycle.killed}
 * @param metadata the sandbox's
 * @param ran how long the session was that a pause or an end closed
 * @param killReason why it was ended, if E2B says
 */
record LifecycleEvent(
    String id,
    String type,
    String sandboxId,
    Instant time,
    Map<String, String> metadata,
    Optional<Duration> ran,
    Optional<String> killReason) {

  static LifecycleEvent read(JsonNode json) throws Json.MalformedException {
    JsonNode data = json.path("eventData");
    JsonNode ran = data.path("execution").path("execution_time");
    return new LifecycleEvent(
        Json.text(json, "id"),
        Json.text(json, "type"),
        Json.text(json, "sandboxId"),
        Json.time(json, "timestamp"),
        Json.texts(data, "sandbox_metadata"),
        ran.canConvertToLong() ? Optional.of(Duration.ofMillis(ran.longValue())) : Optional.empty(),
        Json.optionalText(data, "kill_reason"));
  }
}
