package dev.sandkeeper.server.alert;

import static dev.sandkeeper.jooq.Tables.WEBHOOK;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.net.SystemLookup;
import dev.sandkeeper.server.store.StoreAccess;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.net.InetAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.jooq.Condition;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class WebhooksTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final Condition NOT_GRANTED = DSL.condition("not granted");
  private static final String URL = "https://example.com/alerts";

  private final Alerts alerts = new Alerts(database);
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

  @AfterEach
  void close() {
    threads.shutdownNow();
    alerts.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "http://127.0.0.1/",
        "http://127.8.9.10:8080/",
        "http://[::1]/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://10.0.0.1/",
        "http://192.168.0.1/",
        "http://172.16.0.1/",
        "http://[fd00::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::7f00:1]/",
        "http://224.0.0.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://2130706433/",
        "http://127.1/",
      })
  void urlThatPointsInsideIsRefused(String url) {
    Webhooks webhooks = alerts.webhooks(new Addresses(new SystemLookup(), false));

    SandkeeperException refusal =
        refusal(
            ErrorReason.INVALID_FIELD,
            () -> webhooks.create(alerts.principal(), alerts.tenant, url));

    assertThat(refusal.violations()).extracting(violation -> violation.field()).containsOnly("url");
  }

  @Test
  void privateAddressesCanBeAllowedAndCredentialsOfCloudsCannot() {
    Webhooks webhooks = alerts.webhooks(new Addresses(new SystemLookup(), true));

    assertThat(webhooks.create(alerts.principal(), alerts.tenant, "http://localhost:1/"))
        .isNotNull();
    assertThat(webhooks.create(alerts.principal(), alerts.tenant, "http://[fd00::1]/")).isNotNull();
    refusal(
        ErrorReason.INVALID_FIELD,
        () -> webhooks.create(alerts.principal(), alerts.tenant, "http://169.254.169.254/"));
  }

  @Test
  void nameThatLeadsInsideIsRefusedAndOneThatLeadsNowhereIsTaken() {
    Webhooks inside =
        alerts.webhooks(
            new Addresses(
                _ -> List.of(InetAddress.ofLiteral("8.8.8.8"), InetAddress.ofLiteral("10.0.0.1")),
                false));
    Webhooks nowhere = alerts.webhooks(new Addresses(Alerts.NO_NAMES, false));

    SandkeeperException refusal =
        refusal(
            ErrorReason.INVALID_FIELD, () -> inside.create(alerts.principal(), alerts.tenant, URL));

    assertThat(refusal.violations().getFirst().description())
        .isEqualTo("example.com leads to 10.0.0.1 (expected: public addresses only)");
    assertThat(nowhere.create(alerts.principal(), alerts.tenant, URL).webhook().url())
        .isEqualTo(URL);
  }

  @Test
  void webhookComesBackAsItWasMadeWithoutItsSecret() {
    Webhooks.Created created = alerts.create(URL);

    assertThat(alerts.webhooks().list(alerts.tenant)).containsExactly(created.webhook());
    assertThat(created.secret().text()).matches("whsec_[A-Za-z0-9+/]{43}=");
    assertThat(created.toString()).doesNotContain(created.secret().text());
  }

  @Test
  void tenantHasNoMoreThanItMayAlsoWhenAllAreMadeAtOnce() throws Exception {
    List<Future<?>> all = new ArrayList<>();
    for (int i = 0; i < 2 * Alerts.MAX_WEBHOOKS; i++) {
      all.add(
          threads.submit(() -> {
            try {
              alerts.create(URL);
            } catch (SandkeeperException e) {
              assertThat(e.reason()).isEqualTo(ErrorReason.TOO_MANY_WEBHOOKS);
            }
          }));
    }
    for (Future<?> one : all) {
      one.get();
    }

    assertThat(alerts.webhooks().list(alerts.tenant)).hasSize(Alerts.MAX_WEBHOOKS);
  }

  @Test
  void unknownTenantIsRefused() {
    refusal(
        ErrorReason.TENANT_NOT_FOUND,
        () -> alerts.webhooks().create(alerts.principal(), new TenantId("nobody"), URL));
  }

  @Test
  void deletionTakesWhatWaitsAlong() {
    String webhookId = alerts.create(URL).webhook().webhookId();
    alerts.append("{}");

    alerts.webhooks().delete(alerts.principal(), webhookId);

    assertThat(alerts.deliveries()).isEmpty();
    assertThat(alerts.webhooks().list(alerts.tenant)).isEmpty();
    refusal(
        ErrorReason.WEBHOOK_NOT_FOUND,
        () -> alerts.webhooks().delete(alerts.principal(), webhookId));
    refusal(ErrorReason.WEBHOOK_NOT_FOUND, () -> alerts.webhooks().sendTest(webhookId));
  }

  @Test
  void testAlertIsForItsWebhookOnly() {
    alerts.create(URL);
    String webhookId = alerts.create(URL).webhook().webhookId();

    Delivery delivery = alerts.webhooks().sendTest(webhookId);

    assertThat(alerts.deliveries()).containsExactly(delivery);
    assertThat(delivery.payload())
        .isEqualTo(
            "{\"type\":\"test\",\"timestamp\":\"2026-03-10T12:00:00.123Z\","
                + "\"data\":{\"webhookId\": \"%s\"}}",
            webhookId);
  }

  @Test
  void disabledWebhookTakesNoTest() {
    String webhookId = alerts.create(URL).webhook().webhookId();
    alerts
        .transactions
        .context()
        .update(WEBHOOK)
        .set(WEBHOOK.DISABLE_TIME, alerts.clock.now())
        .set(WEBHOOK.DISABLE_REASON, DisableReason.GONE.name())
        .execute();

    refusal(ErrorReason.WEBHOOK_DISABLED, () -> alerts.webhooks().sendTest(webhookId));
  }

  @Test
  void alertOfATransactionThatFailedIsNone() {
    alerts.create(URL);

    assertThat(
            catchThrowableOfType(
                IllegalStateException.class,
                () ->
                    alerts.transactions.run(transaction -> {
                      StoreAccess.contextOf(transaction)
                          .execute(
                              "select alert_append(?, 'limit_threshold', '{}', now())",
                              alerts.tenant.value());
                      throw new IllegalStateException("undone");
                    })))
        .isNotNull();

    assertThat(alerts.deliveries()).isEmpty();
  }

  /** Without the wait the foreign key would fail the transaction that the alert is about. */
  @Test
  void alertWaitsForADeletionUnderWayAndLeavesTheWebhookOut() throws Exception {
    String webhookId = alerts.create(URL).webhook().webhookId();
    Future<?> append =
        alerts.transactions.call(transaction -> {
          StoreAccess.contextOf(transaction)
              .deleteFrom(WEBHOOK)
              .where(WEBHOOK.WEBHOOK_ID.eq(webhookId))
              .execute();
          Future<?> waiting = threads.submit(() -> alerts.append("{}"));
          await()
              .until(() -> database.ownerContext().fetchExists(DSL.table("pg_locks"), NOT_GRANTED));
          return waiting;
        });

    append.get();

    assertThat(alerts.deliveries()).isEmpty();
  }

  private static SandkeeperException refusal(ErrorReason reason, ThrowingCallable call) {
    SandkeeperException refusal = catchThrowableOfType(SandkeeperException.class, call);
    assertThat(refusal).as("a refusal").isNotNull();
    assertThat(refusal.reason()).isEqualTo(reason);
    return refusal;
  }
}
