package dev.sandkeeper.server.telemetry;

import java.net.URI;
import java.time.Duration;
import java.util.Optional;

/**
 * What the telemetry is told once.
 *
 * @param nodeId the name of this machine
 * @param otlpEndpoint where metrics and spans are sent by OTLP over HTTP, without {@code /v1/...};
 *     empty for nowhere
 * @param exportInterval between two sendings of metrics, greater than zero
 */
public record TelemetrySettings(
    String nodeId, Optional<URI> otlpEndpoint, Duration exportInterval) {}
