package dev.sandkeeper.server.execution;

import java.util.Optional;

/**
 * What came of a task.
 *
 * @param taskId the caller's id
 * @param result what came of it; empty when it was skipped, as another failed
 */
public record TaskResult(String taskId, Optional<ExecutionResult> result) {}
