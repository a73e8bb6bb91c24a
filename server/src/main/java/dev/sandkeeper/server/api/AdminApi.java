package dev.sandkeeper.server.api;

import dev.sandkeeper.server.access.ApiKey;
import dev.sandkeeper.server.access.ApiKeys;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.ledger.Violation;
import dev.sandkeeper.v1.AdminServiceGrpc;
import dev.sandkeeper.v1.CheckInvariantsRequest;
import dev.sandkeeper.v1.CheckInvariantsResponse;
import dev.sandkeeper.v1.CreateApiKeyRequest;
import dev.sandkeeper.v1.CreateApiKeyResponse;
import dev.sandkeeper.v1.CreateTenantRequest;
import dev.sandkeeper.v1.CreateTenantResponse;
import dev.sandkeeper.v1.InvariantViolation;
import dev.sandkeeper.v1.ListApiKeysRequest;
import dev.sandkeeper.v1.ListApiKeysResponse;
import dev.sandkeeper.v1.RevokeApiKeyRequest;
import dev.sandkeeper.v1.RevokeApiKeyResponse;
import io.grpc.stub.StreamObserver;
import java.time.Instant;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/** AdminService. */
final class AdminApi extends AdminServiceGrpc.AdminServiceImplBase {
  private final Calls calls;
  private final ApiKeys apiKeys;
  private final Ledger ledger;

  AdminApi(Calls calls, ApiKeys apiKeys, Ledger ledger) {
    this.calls = calls;
    this.apiKeys = apiKeys;
    this.ledger = ledger;
  }

  @Override
  public void createTenant(
      CreateTenantRequest request, StreamObserver<CreateTenantResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          apiKeys.createTenant(principal, new TenantId(request.getTenantId()));
          return CreateTenantResponse.newBuilder().setTenantId(request.getTenantId()).build();
        });
  }

  @Override
  public void createApiKey(
      CreateApiKeyRequest request, StreamObserver<CreateApiKeyResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          Optional<Instant> expireTime =
              request.hasExpireTime()
                  ? Optional.of(Times.fromProto(request.getExpireTime()))
                  : Optional.empty();
          Set<Scope> scopes =
              request.getScopesList().stream().map(AdminApi::fromProto).collect(Collectors.toSet());
          ApiKeys.Created created =
              apiKeys.create(
                  principal,
                  Tenants.asked(principal, request.getTenantId()),
                  request.getName(),
                  scopes,
                  Attributions.given(request.getAgentId()),
                  expireTime);
          return CreateApiKeyResponse.newBuilder()
              .setApiKey(toProto(created.apiKey()))
              .setSecret(created.secret())
              .build();
        });
  }

  @Override
  public void listApiKeys(
      ListApiKeysRequest request, StreamObserver<ListApiKeysResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal ->
            ListApiKeysResponse.newBuilder()
                .addAllApiKeys(
                    apiKeys.list(Tenants.asked(principal, request.getTenantId())).stream()
                        .map(AdminApi::toProto)
                        .toList())
                .build());
  }

  @Override
  public void revokeApiKey(
      RevokeApiKeyRequest request, StreamObserver<RevokeApiKeyResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal ->
            RevokeApiKeyResponse.newBuilder()
                .setApiKey(toProto(apiKeys.revoke(principal, request.getKeyId())))
                .build());
  }

  @Override
  public void checkInvariants(
      CheckInvariantsRequest request, StreamObserver<CheckInvariantsResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal ->
            CheckInvariantsResponse.newBuilder()
                .addAllViolations(ledger.checkInvariants().stream().map(AdminApi::toProto).toList())
                .build());
  }

  private static dev.sandkeeper.v1.ApiKey toProto(ApiKey key) {
    dev.sandkeeper.v1.ApiKey.Builder proto =
        dev.sandkeeper.v1.ApiKey.newBuilder()
            .setKeyId(key.keyId())
            .setTenantId(key.tenantId().value())
            .setName(key.name())
            .setAgentId(key.agentId().orElse(""))
            .setCreateTime(Times.toProto(key.createTime()));
    key.scopes().stream().sorted().map(AdminApi::toProto).forEach(proto::addScopes);
    key.expireTime().map(Times::toProto).ifPresent(proto::setExpireTime);
    key.revokeTime().map(Times::toProto).ifPresent(proto::setRevokeTime);
    return proto.build();
  }

  private static Scope fromProto(dev.sandkeeper.v1.Scope scope) {
    return switch (scope) {
      case SCOPE_ADMIN -> Scope.ADMIN;
      case SCOPE_RUN -> Scope.RUN;
      case SCOPE_READ -> Scope.READ;
      case SCOPE_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException("scope: " + scope); // refused by the contract's rules
    };
  }

  private static dev.sandkeeper.v1.Scope toProto(Scope scope) {
    return switch (scope) {
      case ADMIN -> dev.sandkeeper.v1.Scope.SCOPE_ADMIN;
      case RUN -> dev.sandkeeper.v1.Scope.SCOPE_RUN;
      case READ -> dev.sandkeeper.v1.Scope.SCOPE_READ;
    };
  }

  private static InvariantViolation toProto(Violation violation) {
    return InvariantViolation.newBuilder()
        .setInvariant(violation.invariant())
        .setSubject(violation.subject())
        .setDetail(violation.detail())
        .build();
  }
}
