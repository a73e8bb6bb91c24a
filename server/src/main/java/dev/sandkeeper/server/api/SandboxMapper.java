package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.sandbox.CreateSandbox;
import dev.sandkeeper.server.sandbox.ExhaustionPolicy;
import dev.sandkeeper.server.sandbox.SandboxState;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.Resources;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import java.util.Optional;
import java.util.OptionalInt;

/** Sandboxes on the wire. */
final class SandboxMapper {
  private static final String DEFAULT_TEMPLATE = "base";

  private SandboxMapper() {}

  static CreateSandbox fromProto(CreateSandboxRequest proto) {
    return fromProto(
        proto,
        RequestKeys.of(proto.getRequestId(), proto.toBuilder().clearRequestId().build()),
        Optional.empty());
  }

  /**
   * Returns what is asked for.
   *
   * @param key goes before the request's own id
   * @param run what it is for; empty for anything
   */
  static CreateSandbox fromProto(
      CreateSandboxRequest proto, RequestKey key, Optional<ExecutionSpec.Run> run) {
    return new CreateSandbox(
        key,
        template(proto.getTemplate()),
        given(proto.getResources().getCpuCores()),
        given(proto.getResources().getMemoryMib()),
        Times.fromProto(proto.hasTimeout(), proto.getTimeout()),
        Times.fromProto(proto.hasIdleTimeout(), proto.getIdleTimeout()),
        fromProto(proto.getOnExhaustion()),
        Attributions.fromProto(proto.getAttribution()),
        proto.getMetadataMap(),
        proto.getEnvironmentMap(),
        proto.hasNetwork()
            ? Optional.of(NetworkMapper.fromProto("network", proto.getNetwork()))
            : Optional.empty(),
        CommandPolicyMapper.fromProto("command_policy", proto.getCommandPolicy()),
        run);
  }

  static Sandbox toProto(dev.sandkeeper.server.sandbox.Sandbox sandbox) {
    Sandbox.Builder proto =
        Sandbox.newBuilder()
            .setSandboxId(sandbox.sandboxId().value())
            .setTenantId(sandbox.tenantId().value())
            .setTemplate(sandbox.template())
            .setTier(sandbox.tier())
            .setEngine(sandbox.engine())
            .setNodeId(sandbox.nodeId())
            .setState(toProto(sandbox.state()))
            .setResources(
                Resources.newBuilder()
                    .setCpuCores(sandbox.cpuCores())
                    .setMemoryMib(sandbox.memoryMib()))
            .setOnExhaustion(toProto(sandbox.onExhaustion()))
            .setAttribution(Attributions.toProto(sandbox.attribution()))
            .putAllMetadata(sandbox.metadata())
            .setTimeout(Times.toProto(sandbox.timeout()))
            .setCreateTime(Times.toProto(sandbox.createTime()))
            .setExpireTime(Times.toProto(sandbox.expireTime()));
    sandbox.runtime().ifPresent(proto::setRuntime);
    NetworkMapper.toProto(sandbox.network()).ifPresent(proto::setNetwork);
    CommandPolicyMapper.toProto(sandbox.commandPolicies()).ifPresent(proto::setCommandPolicy);
    sandbox.idleTimeout().map(Times::toProto).ifPresent(proto::setIdleTimeout);
    sandbox.startTime().map(Times::toProto).ifPresent(proto::setStartTime);
    sandbox.endTime().map(Times::toProto).ifPresent(proto::setEndTime);
    sandbox.endReason().map(SandboxMapper::toProto).ifPresent(proto::setEndReason);
    if (!SandboxState.FINAL.contains(sandbox.state())) {
      proto.setPaidUntilTime(Times.toProto(sandbox.paidUntil()));
    }
    return proto.build();
  }

  static SandboxState fromProto(dev.sandkeeper.v1.SandboxState state) {
    return switch (state) {
      case SANDBOX_STATE_PENDING -> SandboxState.PENDING;
      case SANDBOX_STATE_RUNNING -> SandboxState.RUNNING;
      case SANDBOX_STATE_PAUSED -> SandboxState.PAUSED;
      case SANDBOX_STATE_STOPPING -> SandboxState.STOPPING;
      case SANDBOX_STATE_TERMINATED -> SandboxState.TERMINATED;
      case SANDBOX_STATE_FAILED -> SandboxState.FAILED;
      case SANDBOX_STATE_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException("state: " + state); // refused by the contract's rules
    };
  }

  private static dev.sandkeeper.v1.SandboxState toProto(SandboxState state) {
    return switch (state) {
      case PENDING -> dev.sandkeeper.v1.SandboxState.SANDBOX_STATE_PENDING;
      case RUNNING -> dev.sandkeeper.v1.SandboxState.SANDBOX_STATE_RUNNING;
      case PAUSED -> dev.sandkeeper.v1.SandboxState.SANDBOX_STATE_PAUSED;
      case STOPPING -> dev.sandkeeper.v1.SandboxState.SANDBOX_STATE_STOPPING;
      case TERMINATED -> dev.sandkeeper.v1.SandboxState.SANDBOX_STATE_TERMINATED;
      case FAILED -> dev.sandkeeper.v1.SandboxState.SANDBOX_STATE_FAILED;
    };
  }

  private static ExhaustionPolicy fromProto(dev.sandkeeper.v1.ExhaustionPolicy policy) {
    return switch (policy) {
      case EXHAUSTION_POLICY_UNSPECIFIED, EXHAUSTION_POLICY_TERMINATE -> ExhaustionPolicy.TERMINATE;
      case EXHAUSTION_POLICY_PAUSE -> ExhaustionPolicy.PAUSE;
      case UNRECOGNIZED ->
          throw new IllegalArgumentException(
              "policy: " + policy); // refused by the contract's rules
    };
  }

  private static dev.sandkeeper.v1.ExhaustionPolicy toProto(ExhaustionPolicy policy) {
    return switch (policy) {
      case TERMINATE -> dev.sandkeeper.v1.ExhaustionPolicy.EXHAUSTION_POLICY_TERMINATE;
      case PAUSE -> dev.sandkeeper.v1.ExhaustionPolicy.EXHAUSTION_POLICY_PAUSE;
    };
  }

  private static SandboxEndReason toProto(EndReason reason) {
    return switch (reason) {
      case TERMINATED -> SandboxEndReason.SANDBOX_END_REASON_TERMINATED;
      case TIMEOUT -> SandboxEndReason.SANDBOX_END_REASON_TIMEOUT;
      case IDLE -> SandboxEndReason.SANDBOX_END_REASON_IDLE;
      case BUDGET_EXHAUSTED -> SandboxEndReason.SANDBOX_END_REASON_BUDGET_EXHAUSTED;
      case OUT_OF_MEMORY -> SandboxEndReason.SANDBOX_END_REASON_OUT_OF_MEMORY;
      case ENGINE_FAILED -> SandboxEndReason.SANDBOX_END_REASON_ENGINE_FAILED;
      case ORPHANED -> SandboxEndReason.SANDBOX_END_REASON_ORPHANED;
    };
  }

  /** Returns the name of the template that is asked for. */
  static String template(String asked) {
    return asked.isEmpty() ? DEFAULT_TEMPLATE : asked;
  }

  /** Returns a figure of a request; empty for none. */
  static OptionalInt given(int value) {
    return value == 0 ? OptionalInt.empty() : OptionalInt.of(value);
  }
}
