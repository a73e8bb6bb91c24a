package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Instant;

/**
 * What a sandbox used at a moment.
 *
 * @param cpuUsedPercent of all its processors together
 */
record SandboxMetric(
    Instant time,
    long cpuCount,
    double cpuUsedPercent,
    long memoryUsedBytes,
    long memoryTotalBytes,
    long diskUsedBytes,
    long diskTotalBytes) {

  static SandboxMetric read(JsonNode json) throws Json.MalformedException {
    return new SandboxMetric(
        Instant.ofEpochSecond(Json.number(json, "timestampUnix")),
        Json.number(json, "cpuCount"),
        Json.fraction(json, "cpuUsedPct"),
        Json.number(json, "memUsed"),
        Json.number(json, "memTotal"),
        Json.number(json, "diskUsed"),
        Json.number(json, "diskTotal"));
  }
}
