package dev.sandkeeper.server.api;

import dev.sandkeeper.server.alert.Delivery;
import dev.sandkeeper.server.alert.DeliveryState;
import dev.sandkeeper.server.alert.DisableReason;
import dev.sandkeeper.server.alert.Webhook;
import dev.sandkeeper.server.alert.Webhooks;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.v1.CreateWebhookRequest;
import dev.sandkeeper.v1.CreateWebhookResponse;
import dev.sandkeeper.v1.DeleteWebhookRequest;
import dev.sandkeeper.v1.DeleteWebhookResponse;
import dev.sandkeeper.v1.ListDeliveriesRequest;
import dev.sandkeeper.v1.ListDeliveriesResponse;
import dev.sandkeeper.v1.ListWebhooksRequest;
import dev.sandkeeper.v1.ListWebhooksResponse;
import dev.sandkeeper.v1.SendTestAlertRequest;
import dev.sandkeeper.v1.SendTestAlertResponse;
import dev.sandkeeper.v1.WebhookDisableReason;
import dev.sandkeeper.v1.WebhookServiceGrpc;
import io.grpc.stub.StreamObserver;

/** WebhookService. */
final class WebhookApi extends WebhookServiceGrpc.WebhookServiceImplBase {
  private final Calls calls;
  private final Webhooks webhooks;

  WebhookApi(Calls calls, Webhooks webhooks) {
    this.calls = calls;
    this.webhooks = webhooks;
  }

  @Override
  public void createWebhook(
      CreateWebhookRequest request, StreamObserver<CreateWebhookResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          Webhooks.Created created =
              webhooks.create(
                  principal, Tenants.asked(principal, request.getTenantId()), request.getUrl());
          return CreateWebhookResponse.newBuilder()
              .setWebhook(toProto(created.webhook()))
              .setSecret(created.secret().text())
              .build();
        });
  }

  @Override
  public void listWebhooks(
      ListWebhooksRequest request, StreamObserver<ListWebhooksResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal ->
            ListWebhooksResponse.newBuilder()
                .addAllWebhooks(
                    webhooks.list(Tenants.asked(principal, request.getTenantId())).stream()
                        .map(WebhookApi::toProto)
                        .toList())
                .build());
  }

  @Override
  public void deleteWebhook(
      DeleteWebhookRequest request, StreamObserver<DeleteWebhookResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          webhooks.delete(principal, request.getWebhookId());
          return DeleteWebhookResponse.getDefaultInstance();
        });
  }

  @Override
  public void listDeliveries(
      ListDeliveriesRequest request, StreamObserver<ListDeliveriesResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          TenantId tenantId = Tenants.asked(principal, request.getTenantId());
          Object[] query = {tenantId, request.getWebhookId()};
          Page<Delivery> page =
              webhooks.deliveries(
                  tenantId,
                  Attributions.given(request.getWebhookId()),
                  PageTokens.request(
                      request.getPageSize(), request.getPageToken(), "deliveries", query));
          return ListDeliveriesResponse.newBuilder()
              .addAllDeliveries(page.items().stream().map(WebhookApi::toProto).toList())
              .setNextPageToken(PageTokens.next(page, "deliveries", query))
              .build();
        });
  }

  @Override
  public void sendTestAlert(
      SendTestAlertRequest request, StreamObserver<SendTestAlertResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal ->
            SendTestAlertResponse.newBuilder()
                .setDelivery(toProto(webhooks.sendTest(request.getWebhookId())))
                .build());
  }

  private static dev.sandkeeper.v1.Webhook toProto(Webhook webhook) {
    dev.sandkeeper.v1.Webhook.Builder proto =
        dev.sandkeeper.v1.Webhook.newBuilder()
            .setWebhookId(webhook.webhookId())
            .setTenantId(webhook.tenantId().value())
            .setUrl(webhook.url())
            .setCreateTime(Times.toProto(webhook.createTime()))
            .setFailureCount(webhook.failureCount());
    webhook.failingSince().map(Times::toProto).ifPresent(proto::setFailingSinceTime);
    webhook
        .disabled()
        .ifPresent(disabled ->
            proto
                .setDisableTime(Times.toProto(disabled.time()))
                .setDisableReason(toProto(disabled.reason())));
    return proto.build();
  }

  private static WebhookDisableReason toProto(DisableReason reason) {
    return switch (reason) {
      case GONE -> WebhookDisableReason.WEBHOOK_DISABLE_REASON_GONE;
      case FAILING -> WebhookDisableReason.WEBHOOK_DISABLE_REASON_FAILING;
    };
  }

  private static dev.sandkeeper.v1.Delivery toProto(Delivery delivery) {
    dev.sandkeeper.v1.Delivery.Builder proto =
        dev.sandkeeper.v1.Delivery.newBuilder()
            .setEventId(delivery.eventId())
            .setWebhookId(delivery.webhookId())
            .setKind(delivery.kind())
            .setPayload(delivery.payload())
            .setState(toProto(delivery.state()))
            .setCreateTime(Times.toProto(delivery.createTime()))
            .setAttemptCount(delivery.attemptCount())
            .setLastError(delivery.lastError().orElse(""));
    if (delivery.state() == DeliveryState.PENDING) {
      proto.setNextAttemptTime(Times.toProto(delivery.nextAttemptTime()));
    }
    delivery.endTime().map(Times::toProto).ifPresent(proto::setEndTime);
    return proto.build();
  }

  private static dev.sandkeeper.v1.DeliveryState toProto(DeliveryState state) {
    return switch (state) {
      case PENDING -> dev.sandkeeper.v1.DeliveryState.DELIVERY_STATE_PENDING;
      case DELIVERED -> dev.sandkeeper.v1.DeliveryState.DELIVERY_STATE_DELIVERED;
      case FAILED -> dev.sandkeeper.v1.DeliveryState.DELIVERY_STATE_FAILED;
    };
  }
}
