package dev.sandkeeper.server.access;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

class CallRatesTest {
  private final List<CallRates.Kind> refused = new ArrayList<>();
  private final CallRates rates =
      new CallRates(new RateLimiter(10, 1, () -> 0), new RateLimiter(1, 2, () -> 0), refused::add);

  @Test
  void aKeyIsToldWhenToCallAgain() {
    rates.call("key");
    SandkeeperException refusal = refusal(() -> rates.call("key"));

    assertThat(refusal.retryDelay()).contains(Duration.ofMillis(100));
    assertThat(refusal.context()).containsEntry("limit", "key");
    assertThat(refused).containsExactly(CallRates.Kind.KEY);
    rates.call("other");
  }

  @Test
  void anAddressIsRefusedAfterItsFailuresOnly() {
    for (int i = 0; i < 10; i++) {
      rates.stranger("192.0.2.1");
    }
    rates.failure("192.0.2.1");
    rates.stranger("192.0.2.1");
    rates.failure("192.0.2.1");

    SandkeeperException refusal = refusal(() -> rates.stranger("192.0.2.1"));
    assertThat(refusal.retryDelay()).contains(Duration.ofSeconds(1));
    assertThat(refusal.context()).containsEntry("limit", "address");
    assertThat(refused).containsExactly(CallRates.Kind.ADDRESS);
    rates.stranger("192.0.2.2");
  }

  @Test
  void addressesOfOneNetworkOfIpv6AreOne() {
    rates.failure("2001:db8:0:1:0:0:0:1");
    rates.failure("2001:db8:0:1:ffff:0:0:2%eth0");
    var _ = refusal(() -> rates.stranger("2001:db8:0:1::3"));
    rates.stranger("2001:db8:0:2::1");
  }

  private static SandkeeperException refusal(ThrowingCallable call) {
    SandkeeperException thrown = catchThrowableOfType(SandkeeperException.class, call);
    assertThat(thrown.reason()).isEqualTo(ErrorReason.RATE_LIMITED);
    return thrown;
  }
}
