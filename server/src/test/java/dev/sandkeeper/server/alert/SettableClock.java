package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.base.BillingClock;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.atomic.AtomicReference;

/** A clock that stands still until it is put forward. */
final class SettableClock implements BillingClock {
  private final AtomicReference<Instant> now =
      new AtomicReference<>(Instant.parse("2026-03-10T12:00:00.123Z"));

  @Override
  public Instant now() {
    return now.get();
  }

  void advance(Duration duration) {
    now.updateAndGet(time -> time.plus(duration));
  }
}
