/**
 * Metrics, spans and the keys of log lines.
 *
 * <p>Imports nothing of the other rooms, and shows them plain Java only: they call {@link
 * dev.sandkeeper.server.telemetry.Instruments} and {@link dev.sandkeeper.server.telemetry.Spans}
 * without knowing OpenTelemetry. Entry point: {@link dev.sandkeeper.server.telemetry.Telemetry}.
 */
@NullMarked
package dev.sandkeeper.server.telemetry;

import org.jspecify.annotations.NullMarked;
