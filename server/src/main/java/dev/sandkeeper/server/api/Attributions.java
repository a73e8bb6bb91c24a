package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.Attribution;
import java.util.Optional;

/** Attributions on the wire, where the empty string stands for absent. */
final class Attributions {
  private Attributions() {}

  static Attribution fromProto(dev.sandkeeper.v1.Attribution proto) {
    return new Attribution(
        given(proto.getOrganisationId()),
        given(proto.getUserId()),
        given(proto.getConversationId()),
        given(proto.getPath()),
        given(proto.getAgentId()),
        given(proto.getTaskId()),
        given(proto.getCorrelationId()),
        given(proto.getWorkflowId()));
  }

  static dev.sandkeeper.v1.Attribution toProto(Attribution attribution) {
    return dev.sandkeeper.v1.Attribution.newBuilder()
        .setOrganisationId(attribution.organisationId().orElse(""))
        .setUserId(attribution.userId().orElse(""))
        .setConversationId(attribution.conversationId().orElse(""))
        .setPath(attribution.path().orElse(""))
        .setAgentId(attribution.agentId().orElse(""))
        .setTaskId(attribution.taskId().orElse(""))
        .setCorrelationId(attribution.correlationId().orElse(""))
        .setWorkflowId(attribution.workflowId().orElse(""))
        .build();
  }

  /** Returns the text when there is one. */
  static Optional<String> given(String text) {
    return text.isEmpty() ? Optional.empty() : Optional.of(text);
  }
}
