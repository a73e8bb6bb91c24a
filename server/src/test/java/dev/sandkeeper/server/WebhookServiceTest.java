package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.server.HttpCaller.Answer;
import dev.sandkeeper.server.alert.Receiver;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.CreateWebhookRequest;
import dev.sandkeeper.v1.CreateWebhookResponse;
import dev.sandkeeper.v1.DeleteWebhookRequest;
import dev.sandkeeper.v1.Delivery;
import dev.sandkeeper.v1.DeliveryState;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListDeliveriesRequest;
import dev.sandkeeper.v1.ListDeliveriesResponse;
import dev.sandkeeper.v1.ListWebhooksRequest;
import dev.sandkeeper.v1.SendTestAlertRequest;
import dev.sandkeeper.v1.Webhook;
import dev.sandkeeper.v1.WebhookDisableReason;
import io.grpc.Status;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Webhooks as callers make them, and alerts as receivers on this machine get them. */
class WebhookServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_ALERTS_ALLOW_PRIVATE_ADDRESSES", "true",
              "SANDKEEPER_ALERTS_MAX_WEBHOOKS", "3",
              "SANDKEEPER_ALERTS_POLL_INTERVAL", "100 ms"));

  private static final String UNKNOWN = "0".repeat(20);

  private final HttpCaller http = new HttpCaller(server);

  @AfterEach
  void deleteWebhooks() {
    http.close();
    list().forEach(webhook -> delete(webhook.getWebhookId()));
  }

  @Test
  void aTestAlertArrivesAndTheDeliveryIsListed() throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      CreateWebhookResponse created = create(receiver.url());
      String webhookId = created.getWebhook().getWebhookId();

      Delivery sent = sendTest(webhookId);
      await().until(() -> delivery(webhookId).getState() == DeliveryState.DELIVERY_STATE_DELIVERED);

      Receiver.Request request = receiver.requests().getFirst();
      Delivery delivery = delivery(webhookId);
      assertThat(receiver.requests()).hasSize(1);
      assertThat(request.id()).isEqualTo(sent.getEventId());
      assertThat(request.body()).isEqualTo(sent.getPayload()).startsWith("{\"type\":\"test\",");
      assertThat(request.signature()).isEqualTo(signature(created.getSecret(), request));
      assertThat(sent.getState()).isEqualTo(DeliveryState.DELIVERY_STATE_PENDING);
      assertThat(sent.hasNextAttemptTime()).isTrue();
      assertThat(sent.hasEndTime()).isFalse();
      assertThat(delivery.getKind()).isEqualTo("test");
      assertThat(delivery.getAttemptCount()).isEqualTo(1);
      assertThat(delivery.hasEndTime()).isTrue();
      assertThat(delivery.hasNextAttemptTime()).isFalse();
      assertThat(server.metric("sandkeeper_alert_pending")).isZero();
    }
  }

  @Test
  void theSameByJson() throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      Answer created = http.post("/v1/webhooks", "{\"url\": \"%s\"}".formatted(receiver.url()));
      String webhookId = created.at("/webhook/webhookId").asText();
      Answer listed = http.get("/v1/webhooks");
      Answer sent = http.post("/v1/webhooks/" + webhookId + ":test", "{}");
      await().until(() -> receiver.requests().size() == 1);
      Answer deliveries = http.get("/v1/webhook-deliveries?webhook_id=" + webhookId);
      Answer deleted = http.delete("/v1/webhooks/" + webhookId);

      assertThat(created.status()).isEqualTo(201);
      assertThat(created.at("/secret").asText()).startsWith("whsec_");
      assertThat(listed.at("/webhooks/0")).isEqualTo(created.at("/webhook"));
      assertThat(listed.text()).doesNotContain("whsec_");
      assertThat(sent.at("/delivery/eventId").asText())
          .isEqualTo(receiver.requests().getFirst().id());
      assertThat(deliveries.at("/deliveries/0/payload")).isEqualTo(sent.at("/delivery/payload"));
      assertThat(deleted.status()).isEqualTo(204);
      assertThat(http.delete("/v1/webhooks/" + webhookId).status()).isEqualTo(404);
    }
  }

  @Test
  void theSameByTheJavaClient() throws Exception {
    try (Receiver receiver = Receiver.answering(200);
        SandkeeperClient client =
            SandkeeperClient.builder("127.0.0.1:" + server.port())
                .apiKey(server.admin().secret())
                .plaintext()
                .build()) {
      CreateWebhookResponse created = client.createWebhook(receiver.url());
      String webhookId = created.getWebhook().getWebhookId();
      Delivery sent = client.sendTestAlert(webhookId);
      await().until(() -> receiver.requests().size() == 1);
      ListDeliveriesRequest ofIt =
          ListDeliveriesRequest.newBuilder().setWebhookId(webhookId).build();

      assertThat(client.listWebhooks()).containsExactly(created.getWebhook());
      assertThat(client.listDeliveries(ofIt))
          .extracting(Delivery::getEventId)
          .containsExactly(sent.getEventId());
      client.deleteWebhook(webhookId);
      assertThat(client.listWebhooks()).isEmpty();
    }
  }

  @Test
  void aReceiverThatIsGoneIsSeenInTheList() throws Exception {
    try (Receiver receiver = Receiver.answering(410)) {
      String webhookId = create(receiver.url()).getWebhook().getWebhookId();

      var _ = sendTest(webhookId);
      await().until(() -> list().getFirst().hasDisableTime());

      assertThat(list().getFirst().getDisableReason())
          .isEqualTo(WebhookDisableReason.WEBHOOK_DISABLE_REASON_GONE);
      assertThat(delivery(webhookId).getState()).isEqualTo(DeliveryState.DELIVERY_STATE_FAILED);
      Refusal.of(
          Status.Code.FAILED_PRECONDITION, ErrorReason.WEBHOOK_DISABLED, () -> sendTest(webhookId));
    }
  }

  @Test
  void failuresAreSeenInTheList() throws IOException {
    String url;
    try (Receiver receiver = Receiver.answering(200)) {
      url = receiver.url();
    }
    String webhookId = create(url).getWebhook().getWebhookId();

    var _ = sendTest(webhookId);
    await().until(() -> list().getFirst().getFailureCount() > 0);

    assertThat(list().getFirst().hasFailingSinceTime()).isTrue();
    assertThat(delivery(webhookId).getLastError()).contains("no answer");
  }

  @Test
  void deliveriesComeInPages() throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      String webhookId = create(receiver.url()).getWebhook().getWebhookId();
      List<String> sent =
          List.of(
              sendTest(webhookId).getEventId(),
              sendTest(webhookId).getEventId(),
              sendTest(webhookId).getEventId());

      ListDeliveriesResponse first = deliveries(webhookId, 2, "");
      ListDeliveriesResponse second = deliveries(webhookId, 2, first.getNextPageToken());

      assertThat(first.getDeliveriesList())
          .extracting(Delivery::getEventId)
          .containsExactly(sent.get(2), sent.get(1));
      assertThat(second.getDeliveriesList())
          .extracting(Delivery::getEventId)
          .containsExactly(sent.get(0));
      assertThat(second.getNextPageToken()).isEmpty();
      Refusal.ofField("page_token", () -> deliveries("", 2, first.getNextPageToken()));
      Refusal.ofField("page_size", () -> deliveries("", 1001, ""));
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "ftp://example.com/ | scheme ftp (expected: http or https)",
        "http://user:word@example.com/ | has a user (expected: none)",
        "http://example.com:70000/ | port 70000 (expected: 1 to 65535)",
        "http://0x7f000001/ | host 0x7f000001 (expected: four decimal numbers without leading",
        "http://0177.0.0.1/ | host 0177.0.0.1 (expected: four decimal numbers without leading",
        "http://169.254.169.254/ | leads to 169.254.169.254 (expected: public addresses only)",
        "http://[::ffff:169.254.169.254]/ | 169.254.169.254 (expected: public addresses only)",
      })
  void aUrlThatIsRefusedIsNamedWithWhatIsExpected(String url, String description) {
    assertThat(Refusal.ofField("url", () -> create(url))).contains(description);
    Answer answer = http.post("/v1/webhooks", "{\"url\": \"%s\"}".formatted(url));
    assertThat(answer.status()).isEqualTo(400);
    assertThat(answer.at("/details").findValuesAsText("field")).containsExactly("url");
  }

  @Test
  void otherWrongFieldsAreNamed() {
    Refusal.ofField("url", () -> create(""));
    Refusal.ofField("url", () -> create("http://example.com/" + "a".repeat(2048)));
    Refusal.ofField("webhook_id", () -> sendTest("x"));
    Refusal.ofField("webhook_id", () -> delete("x"));
    Refusal.ofField("webhook_id", () -> deliveries("x", 1, ""));
    Refusal.ofField(
        "tenant_id",
        () ->
            server
                .admin()
                .webhooks()
                .listWebhooks(ListWebhooksRequest.newBuilder().setTenantId("No!").build()));
  }

  @Test
  void whatIsNotThereIsNotFound() {
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.WEBHOOK_NOT_FOUND, () -> sendTest(UNKNOWN));
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.WEBHOOK_NOT_FOUND, () -> delete(UNKNOWN));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.TENANT_NOT_FOUND,
        () ->
            server
                .admin()
                .webhooks()
                .createWebhook(
                    CreateWebhookRequest.newBuilder()
                        .setTenantId("nobody")
                        .setUrl("http://localhost/")
                        .build()));
  }

  @Test
  void aTenantHasNoMoreThanTheServerAllows() {
    for (int i = 0; i < 3; i++) {
      var _ = create("http://localhost/" + i);
    }

    Refusal refusal =
        Refusal.of(
            Status.Code.RESOURCE_EXHAUSTED,
            ErrorReason.TOO_MANY_WEBHOOKS,
            () -> create("http://localhost/3"));

    assertThat(refusal.info().getMetadataMap()).containsEntry("maxWebhooks", "3");
  }

  @Test
  void onlyTheScopeAdminReachesWebhooks() {
    for (Caller caller : List.of(server.runner(), server.reader())) {
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () -> caller.webhooks().listWebhooks(ListWebhooksRequest.getDefaultInstance()));
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () ->
              caller
                  .webhooks()
                  .createWebhook(
                      CreateWebhookRequest.newBuilder().setUrl("http://localhost/").build()));
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () ->
              caller
                  .webhooks()
                  .deleteWebhook(DeleteWebhookRequest.newBuilder().setWebhookId(UNKNOWN).build()));
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () -> caller.webhooks().listDeliveries(ListDeliveriesRequest.getDefaultInstance()));
      Refusal.of(
          Status.Code.PERMISSION_DENIED,
          ErrorReason.SCOPE_MISSING,
          () ->
              caller
                  .webhooks()
                  .sendTestAlert(SendTestAlertRequest.newBuilder().setWebhookId(UNKNOWN).build()));
    }
  }

  @Test
  void anotherTenantsWebhooksAreItsOwn() {
    String webhookId = create("http://localhost/").getWebhook().getWebhookId();

    assertThat(
            server
                .stranger()
                .webhooks()
                .listWebhooks(ListWebhooksRequest.getDefaultInstance())
                .getWebhooksList())
        .isEmpty();
    assertThat(
            server
                .stranger()
                .webhooks()
                .listWebhooks(
                    ListWebhooksRequest.newBuilder().setTenantId(RunningServer.TENANT).build())
                .getWebhooksList())
        .extracting(Webhook::getWebhookId)
        .containsExactly(webhookId);
  }

  @Test
  void makingAndDeletingAreOnRecordWithoutThePath() {
    String webhookId = create("http://localhost:81/token").getWebhook().getWebhookId();
    delete(webhookId);

    List<AuditEvent> events =
        server
            .admin()
            .audit()
            .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(2).build())
            .getAuditEventsList();
    assertThat(events)
        .extracting(AuditEvent::getOperation)
        .containsExactly("webhook_change", "webhook_change");
    assertThat(events)
        .extracting(AuditEvent::getDetail)
        .containsExactly(
            "deleted " + webhookId, "created " + webhookId + " at http://localhost:81");
    assertThat(events).allMatch(event -> !event.getKeyId().isEmpty());
  }

  private static CreateWebhookResponse create(String url) {
    return server
        .admin()
        .webhooks()
        .createWebhook(CreateWebhookRequest.newBuilder().setUrl(url).build());
  }

  private static List<Webhook> list() {
    return server
        .admin()
        .webhooks()
        .listWebhooks(ListWebhooksRequest.getDefaultInstance())
        .getWebhooksList();
  }

  private static void delete(String webhookId) {
    var _ =
        server
            .admin()
            .webhooks()
            .deleteWebhook(DeleteWebhookRequest.newBuilder().setWebhookId(webhookId).build());
  }

  private static Delivery sendTest(String webhookId) {
    return server
        .admin()
        .webhooks()
        .sendTestAlert(SendTestAlertRequest.newBuilder().setWebhookId(webhookId).build())
        .getDelivery();
  }

  private static Delivery delivery(String webhookId) {
    return deliveries(webhookId, 1, "").getDeliveries(0);
  }

  private static ListDeliveriesResponse deliveries(String webhookId, int size, String token) {
    return server
        .admin()
        .webhooks()
        .listDeliveries(
            ListDeliveriesRequest.newBuilder()
                .setWebhookId(webhookId)
                .setPageSize(size)
                .setPageToken(token)
                .build());
  }

  private static String signature(String secret, Receiver.Request request) throws Exception {
    byte[] key = Base64.getDecoder().decode(secret.substring("whsec_".length()));
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(key, "HmacSHA256"));
    String signed = request.id() + "." + request.timestamp() + "." + request.body();
    byte[] hash = mac.doFinal(signed.getBytes(StandardCharsets.UTF_8));
    return "v1," + Base64.getEncoder().encodeToString(hash);
  }
}
