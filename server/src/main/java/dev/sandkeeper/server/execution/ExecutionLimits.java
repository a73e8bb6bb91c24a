package dev.sandkeeper.server.execution;

import java.time.Duration;

/**
 * The bounds of executions.
 *
 * @param journalBytes how many bytes of events of one execution are kept, and may be unread by its
 *     starting stream before the program is held back
 * @param keep for how long the events are kept after the end
 * @param maxKept how many ended executions have their events kept at most; the oldest go first
 * @param maxRunning how many executions may run in one sandbox at once
 * @param defaultDeadline how long an execution may run when it does not say
 */
public record ExecutionLimits(
    long journalBytes, Duration keep, int maxKept, int maxRunning, Duration defaultDeadline) {}
