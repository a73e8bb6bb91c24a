package dev.sandkeeper.server.alert;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.net.HostLookup;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.net.InetAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

// Goal: what is appended arrives, at least once, signed, and nobody else is harmed by a bad
// receiver. Method: a real database, real receivers on this machine, and a clock that is set.
final class OutboxSenderTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Duration LONGEST_PAUSE = Duration.ofHours(1);
  private static final Duration CLAIM = Duration.ofSeconds(60);

  private final Alerts alerts = new Alerts(database);
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

  @AfterEach
  void close() {
    threads.shutdownNow();
    alerts.close();
  }

  @Test
  void alertArrivesSignedSoThatItsReceiverCanTell() throws Exception {
    try (Receiver receiver = Receiver.answering(204)) {
      Webhooks.Created created = alerts.create(receiver.url());
      alerts.append("{\"limit\": \"ı\"}");

      alerts.sender().sendDue();

      Receiver.Request request = receiver.requests().getFirst();
      Delivery delivery = alerts.delivery();
      assertThat(receiver.requests()).hasSize(1);
      assertThat(request.target()).isEqualTo("/alerts?for=test");
      assertThat(request.host()).isEqualTo("127.0.0.1:" + receiver.port());
      assertThat(request.contentType()).startsWith("application/json");
      assertThat(request.id()).isEqualTo(delivery.eventId());
      assertThat(request.timestamp()).isEqualTo(Long.toString(alerts.clock.now().getEpochSecond()));
      assertThat(request.body())
          .isEqualTo(delivery.payload())
          .isEqualTo(
              "{\"type\":\"limit_threshold\",\"timestamp\":\"2026-03-10T12:00:00.123Z\","
                  + "\"data\":{\"limit\": \"ı\"}}");
      assertThat(request.signature()).isEqualTo(signature(created.secret().text(), request));
      assertThat(delivery.state()).isEqualTo(DeliveryState.DELIVERED);
      assertThat(delivery.attemptCount()).isEqualTo(1);
      assertThat(delivery.lastError()).isEmpty();
      assertThat(delivery.endTime()).hasValue(alerts.clock.now());
    }
  }

  @Test
  void everyEnabledWebhookOfTheTenantGetsAnAlertWithAnIdOfItsOwn() throws Exception {
    try (Receiver one = Receiver.answering(200);
        Receiver two = Receiver.answering(200)) {
      alerts.create(one.url());
      alerts.create(two.url());
      alerts.append("{}");

      alerts.sender().sendDue();

      assertThat(one.requests()).hasSize(1);
      assertThat(two.requests()).hasSize(1);
      assertThat(one.requests().getFirst().id()).isNotEqualTo(two.requests().getFirst().id());
    }
  }

  @Test
  void whatWasSentBeforeAKillIsSentAgainWithTheSameId() throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      Webhooks.Created created = alerts.create(receiver.url());
      alerts.append("{}");

      alerts.sender(new KilledAfterClaim(), Runnable::run).sendDue();
      assertThat(alerts.delivery().state()).isEqualTo(DeliveryState.PENDING);
      alerts.sender().sendDue();
      assertThat(receiver.requests()).as("within the claim").hasSize(1);
      alerts.clock.advance(CLAIM);
      alerts.sender().sendDue();

      assertThat(receiver.requests()).hasSize(2);
      Receiver.Request first = receiver.requests().get(0);
      Receiver.Request second = receiver.requests().get(1);
      assertThat(second.id()).isEqualTo(first.id());
      assertThat(second.body()).isEqualTo(first.body());
      assertThat(second.timestamp()).isNotEqualTo(first.timestamp());
      assertThat(second.signature()).isEqualTo(signature(created.secret().text(), second));
      assertThat(alerts.delivery().state()).isEqualTo(DeliveryState.DELIVERED);
    }
  }

  @Test
  void failedAttemptsComeEverMoreRarelyUntilTheAlertIsGivenUp() throws Exception {
    try (Receiver receiver = Receiver.answering(500)) {
      alerts.create(receiver.url());
      alerts.append("{}");
      Instant first = alerts.clock.now();
      OutboxSender sender = alerts.sender();

      for (int attempt = 1; attempt <= 14; attempt++) {
        sender.sendDue();
        sender.sendDue(); // is too early

        Delivery delivery = alerts.delivery();
        Duration full = Duration.ofSeconds(Math.min(1L << (attempt - 1), 3600));
        assertThat(receiver.requests()).hasSize(attempt);
        assertThat(delivery.attemptCount()).isEqualTo(attempt);
        assertThat(delivery.lastError()).hasValue("answered 500");
        assertThat(Duration.between(alerts.clock.now(), delivery.nextAttemptTime()))
            .isBetween(full.dividedBy(2), full);
        alerts.clock.advance(full);
      }
      assertThat(alerts.webhook().failureCount()).isEqualTo(14);
      assertThat(alerts.webhook().failingSince()).hasValue(first);
      sender.tidy();
      assertThat(alerts.delivery().state()).isEqualTo(DeliveryState.PENDING);
      alerts.clock.advance(Duration.ofDays(3));
      sender.tidy();
      sender.sendDue();

      assertThat(receiver.requests()).hasSize(14);
      assertThat(alerts.delivery().state()).isEqualTo(DeliveryState.FAILED);
      assertThat(alerts.delivery().lastError())
          .hasValue("answered 500; given up: it waited too long");
    }
  }

  @Test
  void successEndsThePauseOfTheWebhook() throws Exception {
    AtomicInteger status = new AtomicInteger(503);
    try (Receiver receiver =
        Receiver.answering(exchange -> exchange.sendResponseHeaders(status.get(), -1))) {
      alerts.create(receiver.url());
      alerts.append("{\"number\": 1}");
      alerts.append("{\"number\": 2}");
      OutboxSender sender = alerts.sender();

      sender.sendDue();
      assertThat(receiver.requests()).as("one of two, while it fails").hasSize(1);
      status.set(200);
      alerts.clock.advance(Duration.ofSeconds(1));
      sender.sendDue();

      assertThat(receiver.requests()).hasSize(3);
      assertThat(alerts.webhook().failureCount()).isZero();
      assertThat(alerts.webhook().failingSince()).isEmpty();
      assertThat(alerts.deliveries())
          .allMatch(delivery -> delivery.state() == DeliveryState.DELIVERED);
    }
  }

  @Test
  void receiverThatHangsHoldsUpNobodyElse() throws Exception {
    CountDownLatch released = new CountDownLatch(1);
    try (Receiver hanging = Receiver.answering(_ -> awaitQuietly(released));
        Receiver quick = Receiver.answering(200)) {
      alerts.create(hanging.url());
      String hangingId = alerts.webhook().webhookId();
      alerts.clock.advance(Duration.ofSeconds(1));
      alerts.create(quick.url());
      alerts.append("{\"number\": 1}");
      alerts.append("{\"number\": 2}");

      alerts.sender(alerts.transactions, threads).sendDue();

      await().until(() -> quick.requests().size() == 2);
      await().until(() -> errors(hangingId).contains("no answer within 1 s"));
      assertThat(hanging.requests()).as("one at a time").hasSize(1);
      released.countDown();
    }
  }

  @Test
  void redirectIsAFailureAndIsNotFollowed() throws Exception {
    try (Receiver target = Receiver.answering(200);
        Receiver receiver =
            Receiver.answering(exchange -> {
              exchange.getResponseHeaders().set("Location", target.url());
              exchange.sendResponseHeaders(307, -1);
            })) {
      alerts.create(receiver.url());
      alerts.append("{}");

      alerts.sender().sendDue();

      assertThat(receiver.requests()).hasSize(1);
      assertThat(target.requests()).isEmpty();
      assertThat(alerts.delivery().lastError())
          .hasValue("answered 307; redirects are not followed");
    }
  }

  @Test
  void bodyOfTheAnswerIsNotRead() throws Exception {
    CountDownLatch cutOff = new CountDownLatch(1);
    try (Receiver receiver =
        Receiver.answering(exchange -> {
          exchange.sendResponseHeaders(200, 0);
          try {
            while (true) {
              exchange.getResponseBody().write(new byte[64 << 10]);
            }
          } finally {
            cutOff.countDown();
          }
        })) {
      alerts.create(receiver.url());
      alerts.append("{}");

      alerts.sender().sendDue();

      assertThat(alerts.delivery().state()).isEqualTo(DeliveryState.DELIVERED);
      cutOff.await();
    }
  }

  @Test
  void receiverThatIsAwayIsTriedAgain() throws Exception {
    String url;
    try (Receiver receiver = Receiver.answering(200)) {
      url = receiver.url();
    }
    alerts.create(url);
    alerts.append("{}");

    alerts.sender().sendDue();

    assertThat(alerts.delivery().state()).isEqualTo(DeliveryState.PENDING);
    assertThat(alerts.delivery().lastError().orElseThrow()).contains("no answer", "refused");
  }

  @Test
  void goneDisablesTheWebhookForGood() throws Exception {
    try (Receiver receiver = Receiver.answering(410)) {
      alerts.create(receiver.url());
      alerts.append("{\"number\": 1}");
      alerts.append("{\"number\": 2}");
      OutboxSender sender = alerts.sender();

      sender.sendDue();
      alerts.append("{\"number\": 3}");
      alerts.clock.advance(LONGEST_PAUSE);
      sender.sendDue();

      assertThat(receiver.requests()).hasSize(1);
      assertThat(alerts.webhook().disabled().orElseThrow().reason()).isEqualTo(DisableReason.GONE);
      assertThat(alerts.deliveries())
          .hasSize(2)
          .allMatch(delivery -> delivery.state() == DeliveryState.FAILED);
      assertThat(alerts.deliveries().getFirst().lastError())
          .hasValue("answered 410; given up: the webhook was disabled");
      assertThat(
              alerts
                  .auditLog
                  .list(
                      alerts.tenant,
                      Optional.empty(),
                      new dev.sandkeeper.server.base.Page.Request(1, Optional.empty()))
                  .items()
                  .getFirst()
                  .entry()
                  .detail())
          .hasValue("disabled " + alerts.webhook().webhookId() + ": GONE");
    }
  }

  @Test
  void aHundredFailuresInARowOverDaysDisableTheWebhook() throws Exception {
    try (Receiver receiver = Receiver.answering(500)) {
      alerts.create(receiver.url());
      OutboxSender sender = alerts.sender();

      for (int hour = 0; hour < 121; hour++) {
        assertThat(alerts.webhook().disabled()).as("hour %d", hour).isEmpty();
        if (hour % 60 == 0) {
          alerts.append("{}");
        }
        sender.sendDue();
        sender.tidy();
        alerts.clock.advance(LONGEST_PAUSE);
      }
      sender.sendDue();

      assertThat(alerts.webhook().disabled().orElseThrow().reason())
          .isEqualTo(DisableReason.FAILING);
    }
  }

  @Test
  void twoSendersShareTheWorkAndSendEachOnce() throws Exception {
    int perWebhook = 20;
    List<Receiver> receivers = new ArrayList<>();
    try {
      for (int i = 0; i < Alerts.MAX_WEBHOOKS; i++) {
        receivers.add(Receiver.answering(200));
        alerts.create(receivers.getLast().url());
      }
      for (int i = 0; i < perWebhook; i++) {
        alerts.append("{\"number\": " + i + "}");
      }
      OutboxSender one = alerts.sender(alerts.transactions, threads);
      OutboxSender two = alerts.sender(alerts.transactions, threads);

      await()
          .until(() -> {
            one.sendDue();
            two.sendDue();
            return alerts.outbox.countPending() == 0;
          });

      assertThat(receivers)
          .allSatisfy(receiver -> {
            assertThat(receiver.mostAtOnce()).isEqualTo(1);
            assertThat(receiver.requests())
                .extracting(Receiver.Request::id)
                .doesNotHaveDuplicates();
            assertThat(receiver.requests()).hasSize(perWebhook);
          });
    } finally {
      receivers.forEach(Receiver::close);
    }
  }

  @Test
  void beyondTheBoundTheOldestAreGivenUpAndSaySo() throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      alerts.create(receiver.url());
      for (int i = 0; i < Alerts.MAX_PENDING + 2; i++) {
        alerts.append("{\"number\": " + i + "}");
        alerts.clock.advance(Duration.ofSeconds(1));
      }
      OutboxSender sender = alerts.sender();

      sender.tidy();
      sender.tidy();

      List<Delivery> deliveries = alerts.deliveries();
      assertThat(deliveries)
          .extracting(Delivery::state)
          .containsExactly(
              DeliveryState.FAILED,
              DeliveryState.FAILED,
              DeliveryState.PENDING,
              DeliveryState.PENDING,
              DeliveryState.PENDING);
      assertThat(deliveries.getFirst().lastError())
          .hasValue("given up: more than 3 waited for the webhook");
    }
  }

  @Test
  void whatHasEndedIsDeletedAfterAWhile() throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      alerts.create(receiver.url());
      alerts.append("{}");
      OutboxSender sender = alerts.sender();
      sender.sendDue();

      alerts.clock.advance(Alerts.KEEP);
      sender.tidy();
      assertThat(alerts.deliveries()).hasSize(1);
      alerts.clock.advance(Duration.ofSeconds(1));
      sender.tidy();

      assertThat(alerts.deliveries()).isEmpty();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"})
  void hostThatNowLeadsInsideIsNotConnectedTo(String inside) throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      InetAddress outside = InetAddress.ofLiteral("93.184.216.34");
      alerts
          .webhooks(new Addresses(_ -> List.of(outside), false))
          .create(
              alerts.principal(), alerts.tenant, "http://rebound.example:" + receiver.port() + "/");
      alerts.append("{}");
      HostLookup rebound = _ -> List.of(outside, InetAddress.ofLiteral(inside));

      alerts.sender(alerts.transactions, Runnable::run, new Addresses(rebound, false)).sendDue();

      assertThat(receiver.requests()).isEmpty();
      assertThat(alerts.delivery().state()).isEqualTo(DeliveryState.PENDING);
      assertThat(alerts.delivery().lastError().orElseThrow())
          .contains(InetAddress.ofLiteral(inside).getHostAddress(), "not public");
    }
  }

  @Test
  void connectionGoesToTheAddressThatWasLookedAt() throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      String url = "http://named.example:" + receiver.port() + "/";
      alerts.create(url); // cannot be looked up yet
      alerts.append("{}");
      AtomicInteger lookups = new AtomicInteger();
      HostLookup loopback =
          _ -> {
            lookups.incrementAndGet();
            return List.of(InetAddress.ofLiteral("127.0.0.1"));
          };

      alerts.sender(alerts.transactions, Runnable::run, new Addresses(loopback, true)).sendDue();

      assertThat(lookups).hasValue(1);
      assertThat(receiver.requests()).hasSize(1);
      assertThat(receiver.requests().getFirst().host())
          .isEqualTo("named.example:" + receiver.port());
    }
  }

  @Test
  void closedSenderClaimsNothing() throws Exception {
    try (Receiver receiver = Receiver.answering(200)) {
      alerts.create(receiver.url());
      alerts.append("{}");
      OutboxSender sender = alerts.sender();

      sender.close();
      sender.sendDue();

      assertThat(receiver.requests()).isEmpty();
    }
  }

  /** Does what the first call asks for, which claims, and then no more. */
  private final class KilledAfterClaim implements Transactions {
    private final AtomicInteger calls = new AtomicInteger();

    @Override
    public <T> T call(Function<Transaction, T> work) {
      if (calls.getAndIncrement() > 0) {
        throw new IllegalStateException("killed");
      }
      return alerts.transactions.call(work);
    }

    @Override
    public <T> T single(Function<Transaction, T> statement) {
      throw new AssertionError();
    }
  }

  private String errors(String webhookId) {
    return alerts.deliveries().stream()
        .filter(delivery -> delivery.webhookId().equals(webhookId))
        .map(delivery -> delivery.lastError().orElse(""))
        .reduce("", String::concat);
  }

  private static void awaitQuietly(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  /** Computes what a receiver expects, from the text of the secret alone. */
  private static String signature(String secret, Receiver.Request request) throws Exception {
    byte[] key = Base64.getDecoder().decode(secret.substring("whsec_".length()));
    Mac mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(key, "HmacSHA256"));
    mac.update((request.id() + "." + request.timestamp() + ".").getBytes(StandardCharsets.UTF_8));
    byte[] hash = mac.doFinal(request.body().getBytes(StandardCharsets.UTF_8));
    return "v1," + Base64.getEncoder().encodeToString(hash);
  }
}
