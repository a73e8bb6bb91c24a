package dev.sandkeeper.server.base;

import java.util.Optional;

/**
 * For whom something runs: the axes along which costs are reported. Every part is the caller's own
 * id, at most 256 characters, and may be absent.
 *
 * @param organisationId the organisation
 * @param userId the user
 * @param conversationId the conversation
 * @param path the path within the conversation
 * @param agentId the agent
 * @param taskId the task
 * @param correlationId ties together calls of one origin across systems
 * @param workflowId the workflow
 */
public record Attribution(
    Optional<String> organisationId,
    Optional<String> userId,
    Optional<String> conversationId,
    Optional<String> path,
    Optional<String> agentId,
    Optional<String> taskId,
    Optional<String> correlationId,
    Optional<String> workflowId) {

  /** For nobody in particular. */
  public static final Attribution NONE =
      new Attribution(
          Optional.empty(),
          Optional.empty(),
          Optional.empty(),
          Optional.empty(),
          Optional.empty(),
          Optional.empty(),
          Optional.empty(),
          Optional.empty());

  /** Returns the same with another agent. */
  public Attribution withAgentId(Optional<String> agent) {
    return new Attribution(
        organisationId, userId, conversationId, path, agent, taskId, correlationId, workflowId);
  }
}
