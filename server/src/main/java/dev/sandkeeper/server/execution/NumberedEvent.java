package dev.sandkeeper.server.execution;

import java.time.Instant;

/**
 * An event with its place in the execution.
 *
 * @param sequence from 1 without gaps
 * @param time when the server saw it, in microseconds' resolution
 * @param event what happened
 */
public record NumberedEvent(long sequence, Instant time, ExecutionEvent event) {}
