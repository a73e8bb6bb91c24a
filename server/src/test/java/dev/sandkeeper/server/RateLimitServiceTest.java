package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.rpc.RetryInfo;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.ListTemplatesRequest;
import dev.sandkeeper.v1.Scope;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * A key that calls too fast waits, and so does who guesses keys; nobody else does. How tokens come
 * and go is for the tests of the buckets, which set the time; here it only matters that they run
 * out: in the time of {@link #BURST} calls fewer come.
 */
class RateLimitServiceTest {
  private static final int BURST = 100;
  private static final int FAILURE_BURST = 20;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_SERVER_RATE_LIMIT_REQUESTS_PER_SECOND",
              "1",
              "SANDKEEPER_SERVER_RATE_LIMIT_BURST",
              Integer.toString(BURST),
              "SANDKEEPER_SERVER_RATE_LIMIT_FAILURES_PER_SECOND",
              "1",
              "SANDKEEPER_SERVER_RATE_LIMIT_FAILURE_BURST",
              Integer.toString(FAILURE_BURST)));

  @Test
  void aKeyThatCallsTooFastIsToldWhenToCallAgain() {
    Caller fast = server.newCaller(key -> key.addScopes(Scope.SCOPE_READ));
    for (int i = 0; i < BURST; i++) {
      list(fast);
    }

    Refusal refusal =
        Refusal.of(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.RATE_LIMITED, () -> exhaust(fast));

    assertThat(refusal.info().getMetadataMap()).containsEntry("limit", "key");
    assertThat(refusal.detail(RetryInfo.class)).isPresent();
    try (HttpCaller http = new HttpCaller(server)) {
      HttpCaller.Answer answer;
      do {
        answer =
            http.send(
                http.anonymous("/v1/templates", "authorization", "Bearer " + fast.secret()).GET());
      } while (answer.status() == 200);
      assertThat(answer.status()).isEqualTo(429);
      assertThat(answer.reason()).isEqualTo(ErrorReason.RATE_LIMITED.name());
      assertThat(answer.header("retry-after")).isEqualTo("1");
    }
    assertThat(refusals("key")).isEqualTo(2);
    list(server.reader());
  }

  @Test
  void whoGuessesKeysIsSlowedAndKeysThatWorkGoOn() {
    Caller known = server.newCaller(key -> key.addScopes(Scope.SCOPE_READ));
    Caller unseen = server.newCaller(key -> key.addScopes(Scope.SCOPE_READ));
    list(known);

    int guesses = failuresUntilRefused();

    assertThat(guesses).isGreaterThanOrEqualTo(FAILURE_BURST);
    assertThat(refusals("address")).isOne();
    list(known);
    // A key that was never seen waits, like a guess, but not for long.
    await().ignoreExceptions().untilAsserted(() -> list(unseen));
  }

  /** Makes calls without a key and with wrong ones in turn; returns how many were let in. */
  private static int failuresUntilRefused() {
    for (int count = 0; ; count++) {
      Caller guessing = count % 2 == 0 ? server.anonymous() : server.caller("sk_guess" + count);
      StatusRuntimeException refused =
          catchThrowableOfType(StatusRuntimeException.class, () -> list(guessing));
      if (refused.getStatus().getCode() != Status.Code.UNAUTHENTICATED) {
        assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
        return count;
      }
    }
  }

  private static double refusals(String limit) {
    return server.metric("sandkeeper_rate_limited_total{kind=\"" + limit + "\"}");
  }

  private static void list(Caller caller) {
    var _ = caller.templates().listTemplates(ListTemplatesRequest.getDefaultInstance());
  }

  /** A token may have come meanwhile, but not as many as there were at first. */
  private static void exhaust(Caller caller) {
    for (int i = 0; i < BURST; i++) {
      list(caller);
    }
  }
}
