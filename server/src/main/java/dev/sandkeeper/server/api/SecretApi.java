package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.secret.Secret;
import dev.sandkeeper.server.secret.Secrets;
import dev.sandkeeper.v1.DeleteSecretRequest;
import dev.sandkeeper.v1.DeleteSecretResponse;
import dev.sandkeeper.v1.ListSecretsRequest;
import dev.sandkeeper.v1.ListSecretsResponse;
import dev.sandkeeper.v1.SecretServiceGrpc;
import dev.sandkeeper.v1.SetSecretRequest;
import dev.sandkeeper.v1.SetSecretResponse;
import io.grpc.stub.StreamObserver;

/** SecretService. */
final class SecretApi extends SecretServiceGrpc.SecretServiceImplBase {
  private final Calls calls;
  private final Secrets secrets;

  SecretApi(Calls calls, Secrets secrets) {
    this.calls = calls;
    this.secrets = secrets;
  }

  @Override
  public void setSecret(SetSecretRequest request, StreamObserver<SetSecretResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal ->
            SetSecretResponse.newBuilder()
                .setSecret(
                    toProto(
                        secrets.set(
                            principal,
                            Tenants.asked(principal, request.getTenantId()),
                            request.getName(),
                            request.getValue())))
                .build());
  }

  @Override
  public void listSecrets(
      ListSecretsRequest request, StreamObserver<ListSecretsResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal ->
            ListSecretsResponse.newBuilder()
                .addAllSecrets(
                    secrets.list(Tenants.asked(principal, request.getTenantId())).stream()
                        .map(SecretApi::toProto)
                        .toList())
                .build());
  }

  @Override
  public void deleteSecret(
      DeleteSecretRequest request, StreamObserver<DeleteSecretResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          secrets.delete(
              principal, Tenants.asked(principal, request.getTenantId()), request.getName());
          return DeleteSecretResponse.getDefaultInstance();
        });
  }

  private static dev.sandkeeper.v1.Secret toProto(Secret secret) {
    return dev.sandkeeper.v1.Secret.newBuilder()
        .setName(secret.name())
        .setTenantId(secret.tenantId().value())
        .setCreateTime(Times.toProto(secret.createTime()))
        .setUpdateTime(Times.toProto(secret.updateTime()))
        .build();
  }
}
