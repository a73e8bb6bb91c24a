package dev.sandkeeper.server.engine.guard;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineHealth;
import dev.sandkeeper.server.engine.EngineHealth.Breaker;
import dev.sandkeeper.server.engine.EngineRecord;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.engine.FakeEngine.Call;
import dev.sandkeeper.server.engine.FakeSandbox;
import dev.sandkeeper.server.engine.RemoteEnd;
import dev.sandkeeper.server.engine.Requests;
import dev.sandkeeper.server.telemetry.EngineInstruments;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Test;

// Goal: an engine that cannot work is left alone, one that can is never kept from it.
final class GuardedEngineTest {
  private static final Instant NOW = Instant.parse("2026-03-10T12:00:00Z");
  private static final SandboxId ID = new SandboxId("a".repeat(20));

  private final FakeEngine engine = new FakeEngine("fake");
  private final GuardedEngine guarded =
      guard(new GuardSettings(4, 4, 50, Duration.ofHours(1), 2, 1));

  private GuardedEngine guard(GuardSettings settings) {
    return new GuardedEngine(engine, settings, () -> NOW, EngineInstruments.none());
  }

  @Test
  void anEngineWhoseCallsFailIsLeftAlone() {
    engine.fail(Call.LIST, EngineException.Kind.UNAVAILABLE);
    engine.fail(Call.ADOPT, EngineException.Kind.UNAVAILABLE);
    for (int i = 0; i < 2; i++) {
      assertThatThrownBy(guarded::list).hasMessage("LIST fails, as it is told");
      assertThatThrownBy(() -> guarded.adopt(ID, 1)).hasMessage("ADOPT fails, as it is told");
    }

    assertThat(guarded.health().breaker()).isEqualTo(Breaker.OPEN);
    assertThat(guarded.health().breakerSince()).isEqualTo(NOW);
    refusedUnseen(guarded::list, Call.LIST);
    refusedUnseen(() -> guarded.adopt(ID, 1), Call.ADOPT);
    refusedUnseen(() -> guarded.create(Requests.spec(Duration.ofMinutes(1), false)), Call.CREATE);
  }

  @Test
  void whatEndsASandboxIsLetThroughAlways() {
    FakeSandbox running = (FakeSandbox) engine.create(Requests.spec(Duration.ofMinutes(1), false));
    engine.fail(Call.CHECK, EngineException.Kind.UNAVAILABLE);
    guarded.look();
    assertThat(guarded.health().breaker()).isEqualTo(Breaker.OPEN);

    assertThat(guarded.destroy(running.id())).isPresent();
    assertThat(guarded.end(ID, engine.place())).isInstanceOf(RemoteEnd.Gone.class);
    assertThat(engine.sandboxes()).isEmpty();
  }

  @Test
  void whatTheEngineHasOnRecordIsPassedOn() {
    assertThat(guarded.keepsRecords()).isFalse();
    engine.keepRecords();
    EngineRecord record = new EngineRecord(Duration.ofSeconds(5), NOW, NOW.plusSeconds(7));
    engine.record(ID, record);

    assertThat(guarded.keepsRecords()).isTrue();
    assertThat(guarded.record(FakeSandbox.remoteId(ID))).contains(record);
    assertThat(guarded.record("unknown")).isEmpty();
    engine.fail(Call.CHECK, EngineException.Kind.UNAVAILABLE);
    guarded.look();
    refusedUnseen(() -> guarded.record(FakeSandbox.remoteId(ID)), Call.RECORD);
  }

  @Test
  void thatOneSandboxFailsIsNoFailureOfTheEngine() {
    engine.fail(Call.CREATE, EngineException.Kind.FAILED);
    for (int i = 0; i < 8; i++) {
      assertThatExceptionOfType(EngineException.class)
          .isThrownBy(() -> guarded.create(Requests.spec(Duration.ofMinutes(1), false)));
    }

    assertThat(guarded.health().breaker()).isEqualTo(Breaker.CLOSED);
    assertThat(engine.calls(Call.CREATE)).isEqualTo(8);
  }

  @Test
  void thatOneSandboxCannotBeTakenUpYetIsNone() {
    EngineException why = new EngineException(EngineException.Kind.FULL, "no place now");
    engine.fail(Call.ADOPT, new EngineException(EngineException.Kind.UNAVAILABLE, "not yet", why));
    for (int i = 0; i < 8; i++) {
      assertThatThrownBy(() -> guarded.adopt(ID, 1)).hasMessage("not yet");
    }

    assertThat(guarded.health().breaker()).isEqualTo(Breaker.CLOSED);
    assertThat(engine.calls(Call.ADOPT)).isEqualTo(8);
  }

  @Test
  void whatTakesTooLongIs() {
    engine.fail(Call.ADOPT, new IllegalStateException(new TimeoutException("no answer")));
    for (int i = 0; i < 4; i++) {
      assertThatThrownBy(() -> guarded.adopt(ID, 1)).isInstanceOf(IllegalStateException.class);
    }

    assertThat(guarded.health().breaker()).isEqualTo(Breaker.OPEN);
  }

  @Test
  void aCheckThatFailsOpensAndOneThatSucceedsLetsAFewCallsDecide() {
    engine.fail(Call.CHECK, EngineException.Kind.UNAVAILABLE);
    assertThat(guarded.health().healthy()).isTrue();
    assertThat(guarded.health().checkTime()).isEmpty();
    guarded.look();

    EngineHealth failed = guarded.health();
    assertThat(failed.healthy()).isFalse();
    assertThat(failed.checkTime()).contains(NOW);
    assertThat(failed.checkError()).contains("CHECK fails, as it is told");
    assertThat(failed.breaker()).isEqualTo(Breaker.OPEN);
    guarded.look(); // stays open
    assertThat(guarded.health().breaker()).isEqualTo(Breaker.OPEN);

    engine.recover();
    guarded.look();
    assertThat(guarded.health().healthy()).isTrue();
    assertThat(guarded.health().checkError()).isEmpty();
    assertThat(guarded.health().breaker()).isEqualTo(Breaker.HALF_OPEN);
    guarded.list();
    guarded.list();
    assertThat(guarded.health().breaker()).isEqualTo(Breaker.CLOSED);
  }

  @Test
  void afterItsTimeAnOpenBreakerLetsAFewCallsDecide() {
    GuardedEngine short1 = guard(new GuardSettings(1, 1, 50, Duration.ofMillis(50), 1, 1));
    engine.fail(Call.LIST, EngineException.Kind.UNAVAILABLE);
    assertThatThrownBy(short1::list).hasMessage("LIST fails, as it is told");
    engine.recover();

    await().ignoreExceptions().until(() -> short1.list().isEmpty());
    assertThat(short1.health().breaker()).isEqualTo(Breaker.CLOSED);
  }

  @Test
  void moreStartsAtOnceThanMayBeAreRefusedAndCountForNothing() throws Exception {
    CountDownLatch go = new CountDownLatch(1);
    CompletableFuture<Void> began = new CompletableFuture<>();
    engine.whileCreating(() -> {
      began.complete(null);
      go.await();
      return null;
    });
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      Future<EngineSandbox> first =
          executor.submit(() -> guarded.create(Requests.spec(Duration.ofMinutes(1), false)));
      began.join();

      assertThat(guarded.health().starting()).isEqualTo(1);
      for (int i = 0; i < 8; i++) {
        refusedUnseen(
            () -> guarded.create(Requests.spec(Duration.ofMinutes(1), false)), Call.CREATE);
      }
      assertThat(guarded.health().breaker()).isEqualTo(Breaker.CLOSED);
      assertThat(guarded.list()).isEmpty(); // other calls need no place
      go.countDown();
      assertThat(first.get()).isNotNull();
    }
    assertThat(guarded.health().starting()).isZero();
    assertThat(guarded.health().maxStarting()).isEqualTo(1);
  }

  private void refusedUnseen(Runnable call, Call counted) {
    int before = engine.calls(counted);
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(call::run)
        .satisfies(
            refusal -> assertThat(refusal.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));
    assertThat(engine.calls(counted)).isEqualTo(before);
  }
}
