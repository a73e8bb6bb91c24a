package dev.sandkeeper.server.api;

import com.google.protobuf.Duration;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.Stdio;
import dev.sandkeeper.server.execution.ExecutionRequest;
import dev.sandkeeper.server.sandbox.CreateSandbox;
import dev.sandkeeper.server.secret.SecretReference;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/**
 * The two halves of RunOnce on the wire. Both go by its one request id and the hash of the whole,
 * so that no CreateSandbox or Execute of that id is taken for a repetition.
 */
final class RunOnceMapper {
  /**
   * When the sandbox is ended that a run was over in while its server was away: the next server
   * knows of the execution, and not that the sandbox was for it alone.
   */
  private static final Duration IDLE_TIMEOUT = Durations.fromSeconds(10);

  private RunOnceMapper() {}

  static RequestKey key(RunOnceRequest proto) {
    return RequestKeys.of(proto.getRequestId(), proto.toBuilder().clearRequestId().build());
  }

  static CreateSandbox sandbox(RunOnceRequest proto, RequestKey key) {
    CreateSandboxRequest.Builder create =
        CreateSandboxRequest.newBuilder()
            .setTemplate(proto.getTemplate())
            .setResources(proto.getResources())
            .setIdleTimeout(IDLE_TIMEOUT)
            .setAttribution(proto.getAttribution())
            .putAllMetadata(proto.getMetadataMap())
            .putAllEnvironment(proto.getEnvironmentMap())
            .setCommandPolicy(proto.getCommandPolicy());
    if (proto.hasTimeout()) {
      create.setTimeout(proto.getTimeout());
    }
    if (proto.hasNetwork()) {
      create.setNetwork(proto.getNetwork());
    }
    return SandboxMapper.fromProto(
        create.build(), key, Optional.of(ExecutionMapper.run(request(proto))));
  }

  /** Refuses what cannot be run at once, before there is a sandbox. */
  static Function<SandboxId, ExecutionRequest> execution(RunOnceRequest proto, RequestKey key) {
    ExecuteRequest built = request(proto);
    ExecutionSpec.Run run = ExecutionMapper.run(built);
    Stdio stdio = ExecutionMapper.stdio(built);
    List<SecretReference> secrets =
        ExecutionMapper.secrets(proto.getSecretsList(), proto.getEnvironmentMap(), run);
    return sandboxId ->
        new ExecutionRequest(
            sandboxId,
            key,
            run,
            Optional.empty(),
            Attributions.given(proto.getWorkingDirectory()),
            Map.of(), // the sandbox has it, so that code has it too
            secrets,
            stdio,
            ExecutionMapper.inputs(proto.getInputsMap()),
            ExecutionMapper.artifacts(proto.hasArtifacts(), proto.getArtifacts()),
            Times.fromProto(proto.hasDeadline(), proto.getDeadline()),
            ExecutionMapper.given(proto.getJournalSizeBytes()),
            Times.fromProto(proto.hasKeepDuration(), proto.getKeepDuration()),
            Attribution.NONE);
  }

  private static ExecuteRequest request(RunOnceRequest proto) {
    ExecuteRequest.Builder execute =
        ExecuteRequest.newBuilder()
            .setWorkingDirectory(proto.getWorkingDirectory())
            .setStdin(proto.getStdin())
            .setKeepStdinOpen(proto.getKeepStdinOpen());
    if (proto.hasTerminal()) {
      execute.setTerminal(proto.getTerminal());
    }
    if (proto.hasCommand()) {
      execute.setCommand(proto.getCommand());
    }
    if (proto.hasCode()) {
      ExecutionMapper.requireNoContext("code", proto.getCode());
      execute.setCode(proto.getCode());
    }
    return execute.build();
  }
}
