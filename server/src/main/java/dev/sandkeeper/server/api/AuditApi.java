package dev.sandkeeper.server.api;

import com.google.protobuf.ByteString;
import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditEvent;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.v1.AuditServiceGrpc;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListAuditEventsResponse;
import dev.sandkeeper.v1.VerifyAuditChainRequest;
import dev.sandkeeper.v1.VerifyAuditChainResponse;
import io.grpc.stub.StreamObserver;
import java.util.Optional;

/** AuditService. */
final class AuditApi extends AuditServiceGrpc.AuditServiceImplBase {
  private final Calls calls;
  private final AuditLog auditLog;

  AuditApi(Calls calls, AuditLog auditLog) {
    this.calls = calls;
    this.auditLog = auditLog;
  }

  @Override
  public void listAuditEvents(
      ListAuditEventsRequest request, StreamObserver<ListAuditEventsResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          TenantId tenantId = Tenants.asked(principal, request.getTenantId());
          Object[] query = {tenantId, request.getSandboxId()};
          Page<AuditEvent> page =
              auditLog.list(
                  tenantId,
                  Attributions.given(request.getSandboxId()).map(SandboxId::new),
                  PageTokens.request(
                      request.getPageSize(), request.getPageToken(), "audit events", query));
          return ListAuditEventsResponse.newBuilder()
              .addAllAuditEvents(page.items().stream().map(AuditApi::toProto).toList())
              .setNextPageToken(PageTokens.next(page, "audit events", query))
              .build();
        });
  }

  @Override
  public void verifyAuditChain(
      VerifyAuditChainRequest request, StreamObserver<VerifyAuditChainResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          AuditLog.Verification found =
              auditLog.verify(Tenants.asked(principal, request.getTenantId()));
          return VerifyAuditChainResponse.newBuilder()
              .setIntact(found.intact())
              .setEventCount(found.eventCount())
              .setHeadHash(found.headHash().map(ByteString::copyFrom).orElse(ByteString.EMPTY))
              .setFirstBrokenSequence(found.firstBrokenSequence().orElse(0))
              .build();
        });
  }

  private static dev.sandkeeper.v1.AuditEvent toProto(AuditEvent event) {
    AuditEntry entry = event.entry();
    AuditEntry.Run run = entry.run();
    dev.sandkeeper.v1.AuditEvent.Builder proto =
        dev.sandkeeper.v1.AuditEvent.newBuilder()
            .setTenantId(entry.tenantId().value())
            .setSequence(event.sequence())
            .setPreviousHash(ByteString.copyFrom(event.previousHash()))
            .setHash(ByteString.copyFrom(event.hash()))
            .setTime(Times.toProto(entry.time()))
            .setKeyId(entry.actor().keyId().orElse(""))
            .setUserId(entry.actor().userId().orElse(""))
            .setAgentId(entry.actor().agentId().orElse(""))
            .setRemoteAddress(entry.actor().remoteAddress().orElse(""))
            .setUserAgent(entry.actor().userAgent().orElse(""))
            .setOperation(entry.operation().id())
            .setSandboxId(entry.subject().sandboxId().map(SandboxId::value).orElse(""))
            .setExecutionId(entry.subject().executionId().map(ExecutionId::value).orElse(""))
            .setConversationId(entry.subject().conversationId().orElse(""))
            .setPath(entry.subject().path().orElse(""))
            .setTaskId(entry.subject().taskId().orElse(""))
            .setCodeSha256(bytes(run.codeHash()))
            .setStdoutSha256(bytes(run.stdoutHash()))
            .setStderrSha256(bytes(run.stderrHash()))
            .setOutcome(entry.outcome())
            .setDetail(entry.detail().orElse(""));
    run.exitCode().ifPresent(proto::setExitCode);
    run.duration().map(Times::toProto).ifPresent(proto::setDuration);
    run.cpuMicros().ifPresent(proto::setCpuMicros);
    run.peakMemoryBytes().ifPresent(proto::setPeakMemoryBytes);
    run.costNanoUsd().ifPresent(proto::setCostNanoUsd);
    return proto.build();
  }

  private static ByteString bytes(Optional<byte[]> hash) {
    return hash.map(ByteString::copyFrom).orElse(ByteString.EMPTY);
  }
}
