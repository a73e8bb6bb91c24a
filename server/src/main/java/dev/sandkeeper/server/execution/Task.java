package dev.sandkeeper.server.execution;

/**
 * One thing of a list to run.
 *
 * @param taskId the caller's id, unique in the list
 * @param request what to run
 */
public record Task(String taskId, ExecutionRequest request) {}
