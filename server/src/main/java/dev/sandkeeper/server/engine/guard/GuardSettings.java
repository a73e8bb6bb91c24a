package dev.sandkeeper.server.engine.guard;

import java.time.Duration;

/**
 * When an engine is taken to be unable to work.
 *
 * @param window over how many of the last calls failures are counted
 * @param minimumCalls of how many calls at least
 * @param failurePercent from which part of failures on no call is let through
 * @param openTime how long none is
 * @param trialCalls how many are let through after it, and decide
 * @param maxStarting how many sandboxes an engine is asked to start at once
 */
public record GuardSettings(
    int window,
    int minimumCalls,
    int failurePercent,
    Duration openTime,
    int trialCalls,
    int maxStarting) {}
