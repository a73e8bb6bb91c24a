package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;

/**
 * A sandbox as E2B tells of it.
 *
 * @param startedAt when its session began
 * @param endAt when E2B ends or pauses it by itself
 * @param cpuCount whole processors
 * @param memoryMib its memory
 * @param diskMib its disk
 * @param accessToken what its daemon takes calls by; a list does not have it
 * @param domain what names of it end with, if E2B says
 */
record RemoteSandbox(
    String sandboxId,
    String templateId,
    State state,
    Instant startedAt,
    Instant endAt,
    long cpuCount,
    long memoryMib,
    long diskMib,
    String envdVersion,
    Map<String, String> metadata,
    Optional<String> accessToken,
    Optional<String> domain) {

  /** Whether it runs. */
  enum State {
    RUNNING,
    PAUSED
  }

  static RemoteSandbox read(JsonNode json) throws Json.MalformedException {
    return new RemoteSandbox(
        Json.text(json, "sandboxID"),
        Json.text(json, "templateID"),
        state(Json.text(json, "state")),
        Json.time(json, "startedAt"),
        Json.time(json, "endAt"),
        Json.number(json, "cpuCount"),
        Json.number(json, "memoryMB"),
        Json.number(json, "diskSizeMB"),
        Json.text(json, "envdVersion"),
        Json.texts(json, "metadata"),
        Json.optionalText(json, "envdAccessToken"),
        Json.optionalText(json, "domain"));
  }

  private static State state(String text) throws Json.MalformedException {
    return switch (text) {
      case "running" -> State.RUNNING;
      case "paused" -> State.PAUSED;
      default ->
          throw new Json.MalformedException("state: " + text + " (expected: running or paused)");
    };
  }

  @Override
  public String toString() {
    return sandboxId;
  }
}
