/**
 * Executions: what runs in a sandbox, its numbered events, and the journal that keeps them.
 *
 * <p>May import {@code base}, {@code redaction}, {@code secret}, {@code sandbox}, {@code engine},
 * {@code ledger}, {@code audit} and {@code telemetry}. Entry point: {@link
 * dev.sandkeeper.server.execution.Executions}.
 */
@NullMarked
package dev.sandkeeper.server.execution;

import org.jspecify.annotations.NullMarked;
