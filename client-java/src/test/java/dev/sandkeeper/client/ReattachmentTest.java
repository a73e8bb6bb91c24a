package dev.sandkeeper.client;

import static dev.sandkeeper.client.ScriptedExecution.EXECUTION;
import static dev.sandkeeper.client.ScriptedExecution.breaksAfter;
import static dev.sandkeeper.client.ScriptedExecution.event;
import static dev.sandkeeper.client.ScriptedExecution.failsAfter;
import static dev.sandkeeper.client.ScriptedExecution.finished;
import static dev.sandkeeper.client.ScriptedExecution.hangsAfter;
import static dev.sandkeeper.client.ScriptedExecution.heartbeat;
import static dev.sandkeeper.client.ScriptedExecution.started;
import static dev.sandkeeper.client.ScriptedExecution.stdout;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecutionEvent;
import io.grpc.Status;
import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

// Goal: whatever breaks, each event comes once and in order, or the failure is told.
class ReattachmentTest {
  private static final String SANDBOX = "a".repeat(20);
  private static final Status GONE = Status.UNAVAILABLE.withDescription("connection reset");

  private static final List<ExecutionEvent> EVENTS =
      List.of(started(1), stdout(2, "a"), stdout(3, "b"), stdout(4, "c"), finished(5, 0));

  private final TestTiming timing = new TestTiming();

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4})
  void goesOnBehindTheLastEvent(int count) {
    ScriptedExecution script = new ScriptedExecution(EVENTS, breaksAfter(count, GONE));

    assertThat(read(script)).isEqualTo("abc");
    assertThat(script.executes()).hasSize(1);
    assertThat(script.attaches())
        .containsExactly(
            AttachExecutionRequest.newBuilder()
                .setExecutionId(EXECUTION)
                .setAfterSequence(count)
                .build());
  }

  @Test
  void sendsTheSameRequestAgainWhileTheExecutionIsNotKnown() {
    ScriptedExecution script =
        new ScriptedExecution(EVENTS, breaksAfter(0, GONE), breaksAfter(0, GONE));

    assertThat(read(script)).isEqualTo("abc");
    assertThat(script.executes()).hasSize(3);
    ExecuteRequest first = script.executes().get(0);
    assertThat(first.getRequestId()).isNotEmpty();
    assertThat(script.executes()).containsOnly(first);
    assertThat(script.attaches()).isEmpty();
  }

  @Test
  void whatBreaksBehindTheLastEventDoesNotMatter() {
    ScriptedExecution script = new ScriptedExecution(EVENTS, breaksAfter(5, GONE));

    assertThat(read(script)).isEqualTo("abc");
    assertThat(script.attaches()).isEmpty();
    assertThat(timing.waits()).isEmpty();
  }

  @Test
  void eventsHadBeforeAreDropped() {
    ScriptedExecution script =
        new ScriptedExecution(EVENTS, breaksAfter(3, GONE), breaksAfter(4, GONE)).repeating(2);

    assertThat(read(script)).isEqualTo("abc");
  }

  @Test
  void gapIsAnError() {
    List<ExecutionEvent> gap = List.of(started(1), stdout(2, "a"), stdout(4, "c"), finished(5, 0));

    SandkeeperException thrown = failure(new ScriptedExecution(gap));

    assertThat(thrown.code()).isEqualTo(Status.Code.DATA_LOSS);
    assertThat(thrown).hasMessageContaining("Event 4 came after event 2");
  }

  @Test
  void eventsOfUnknownKindsAreLeftOutAndCounted() {
    List<ExecutionEvent> events =
        List.of(started(1), event(2).build(), stdout(3, "b"), finished(4, 0));
    ScriptedExecution script = new ScriptedExecution(events, breaksAfter(2, GONE));

    assertThat(read(script)).isEqualTo("b");
    assertThat(script.attaches().get(0).getAfterSequence()).isEqualTo(2);
  }

  /** Codes that gRPC gives to a connection that broke; nothing in them comes from the server. */
  @ParameterizedTest
  @EnumSource(
      value = Status.Code.class,
      names = {"UNAVAILABLE", "INTERNAL", "UNKNOWN"})
  void transportFailuresPass(Status.Code code) {
    ScriptedExecution script =
        new ScriptedExecution(EVENTS, breaksAfter(2, code.toStatus().withDescription("reset")));

    assertThat(read(script)).isEqualTo("abc");
  }

  @ParameterizedTest
  @EnumSource(
      value = Status.Code.class,
      mode = EnumSource.Mode.EXCLUDE,
      names = {"OK", "UNAVAILABLE"})
  void refusalsOfTheServerAreFinal(Status.Code code) {
    ScriptedExecution script =
        new ScriptedExecution(EVENTS, failsAfter(2, Refusals.of(code, "SOME_REASON")));

    SandkeeperException thrown = failure(script);

    assertThat(thrown.code()).isEqualTo(code);
    assertThat(thrown.reason()).isEqualTo("SOME_REASON");
    assertThat(script.attaches()).isEmpty();
  }

  @Test
  void serverThatIsAwayForAWhileIsAskedNoSoonerThanItSays() {
    ScriptedExecution script =
        new ScriptedExecution(
            EVENTS,
            failsAfter(
                2,
                Refusals.of(
                    Status.Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", Duration.ofSeconds(3))));

    assertThat(read(script)).isEqualTo("abc");
    assertThat(timing.waits()).containsExactly(Duration.ofSeconds(3));
  }

  @Test
  void eventsNoLongerKeptAreToldWithTheFirstOneThatIs() {
    ScriptedExecution script =
        new ScriptedExecution(
            EVENTS,
            breaksAfter(2, GONE),
            failsAfter(0, Refusals.of(Status.Code.OUT_OF_RANGE, "SEQUENCE_NOT_KEPT")));

    SandkeeperException thrown = failure(script);

    assertThat(thrown.code()).isEqualTo(Status.Code.OUT_OF_RANGE);
    assertThat(thrown.reason()).isEqualTo("SEQUENCE_NOT_KEPT");
  }

  @Test
  void givesUpWhenNothingComesForTooLong() {
    ScriptedExecution.Turn[] always = new ScriptedExecution.Turn[100];
    Arrays.fill(always, breaksAfter(0, GONE));
    always[0] = breaksAfter(2, GONE);
    ScriptedExecution script = new ScriptedExecution(EVENTS, always);

    SandkeeperException thrown = failure(script);

    assertThat(thrown.code()).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(thrown).hasMessageContaining("connection reset");
    Duration waited = timing.waits().stream().reduce(Duration.ZERO, Duration::plus);
    assertThat(waited).isBetween(Duration.ofSeconds(54), Duration.ofSeconds(60));
    assertThat(timing.waits().get(0)).isBetween(Duration.ofMillis(50), Duration.ofMillis(100));
    assertThat(timing.waits()).allMatch(wait -> wait.compareTo(Duration.ofSeconds(5)) <= 0);
    assertThat(timing.waits().get(timing.waits().size() - 1)).isGreaterThan(Duration.ofSeconds(2));
  }

  @Test
  void anyMessageIsProgress() {
    List<ExecutionEvent> events = new ArrayList<>(EVENTS);
    events.add(1, heartbeat());
    ScriptedExecution.Turn[] turns =
        IntStream.range(0, 2000)
            .mapToObj(i -> breaksAfter(i == 0 ? 2 : 1, GONE)) // each time no more than a heartbeat
            .toArray(ScriptedExecution.Turn[]::new);
    ScriptedExecution script = new ScriptedExecution(events, turns);

    assertThat(read(script)).isEqualTo("abc");
    assertThat(timing.waits()).hasSize(2000);
    assertThat(timing.waits()).allMatch(wait -> wait.compareTo(Duration.ofMillis(100)) <= 0);
  }

  @Test
  void neverAttachesAgainWhenToldNotTo() {
    ScriptedExecution script = new ScriptedExecution(EVENTS, breaksAfter(2, GONE));
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client =
            server.client(b -> b.timing(timing.timing()).reattachTimeout(Duration.ZERO));
        ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream()) {
      assertThatThrownBy(stream::await).isInstanceOf(SandkeeperException.class);
      assertThat(stream.reattachments()).isZero();
    }
  }

  @Test
  void readerWhoPausedForLongerThanThatStillGoesOn() {
    ScriptedExecution script = new ScriptedExecution(EVENTS, breaksAfter(2, GONE));
    Timing now = timing.timing();
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client(b -> b.timing(now));
        ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream()) {
      stream.iterator().next();
      now.scheduler().runAfter(Duration.ofHours(1), () -> {});
      assertThat(stream.await().succeeded()).isTrue();
      assertThat(stream.reattachments()).isEqualTo(1);
    }
  }

  @Test
  void closedStreamDoesNotAttachAgain() throws InterruptedException {
    ScriptedExecution script = new ScriptedExecution(EVENTS, breaksAfter(2, GONE));
    CountDownLatch waiting = new CountDownLatch(1);
    AtomicReference<Runnable> later = new AtomicReference<>();
    Timing held =
        new Timing(
            System::nanoTime,
            wait -> {},
            (wait, task) -> {
              later.set(task);
              waiting.countDown();
            },
            new Random(1));
    AtomicReference<SandkeeperException> thrown = new AtomicReference<>();
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client(b -> b.timing(held))) {
      ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream();
      Thread reader = new Thread(() -> thrown.set(failure(stream)));
      reader.start();
      assertThat(waiting.await(10, TimeUnit.SECONDS)).isTrue();
      stream.close();
      reader.join(10_000);
      later.get().run();
    }

    assertThat(thrown.get().code()).isEqualTo(Status.Code.CANCELLED);
    assertThat(script.attaches()).isEmpty();
  }

  @Test
  void interruptEndsTheWaitForTheNextTry() throws InterruptedException {
    ScriptedExecution script = new ScriptedExecution(EVENTS, breaksAfter(2, GONE));
    CountDownLatch waiting = new CountDownLatch(1);
    Timing never =
        new Timing(
            System::nanoTime, wait -> {}, (wait, task) -> waiting.countDown(), new Random(1));
    AtomicReference<SandkeeperException> thrown = new AtomicReference<>();
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client(b -> b.timing(never));
        ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream()) {
      Thread reader = new Thread(() -> thrown.set(failure(stream)));
      reader.start();
      assertThat(waiting.await(10, TimeUnit.SECONDS)).isTrue();
      reader.interrupt();
      reader.join(10_000);
    }

    assertThat(thrown.get()).hasMessageContaining("interrupted");
  }

  @Test
  void closingTheClientEndsItsStreams() {
    ScriptedExecution script = new ScriptedExecution(EVENTS, hangsAfter(2));
    try (FakeServer server = new FakeServer(script)) {
      SandkeeperClient client = server.client(b -> b.timing(timing.timing()));
      ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream();
      stream.iterator().next();
      client.close();

      assertThat(failure(stream).code()).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(timing.waits()).isEmpty();
    }
  }

  /** Any sizes, any number of breaks at any event, of any kind, with any number of repetitions. */
  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 5, 8, 13, 21, 34, 55, 89})
  void everyByteComesOnceWhereverItBreaks(long seed) {
    Random random = new Random(seed);
    List<ExecutionEvent> events = new ArrayList<>(List.of(started(1)));
    ByteArrayOutputStream expected = new ByteArrayOutputStream();
    int count = 1 + random.nextInt(300);
    for (int i = 0; i < count; i++) {
      byte[] bytes = new byte[random.nextInt(2000)];
      random.nextBytes(bytes);
      expected.writeBytes(bytes);
      events.add(stdout(events.size() + 1L, ByteString.copyFrom(bytes)));
    }
    events.add(finished(events.size() + 1L, 3));
    Status[] breaks = {Status.UNAVAILABLE, Status.INTERNAL, Status.UNKNOWN};
    ScriptedExecution.Turn[] turns =
        IntStream.range(0, random.nextInt(80))
            .mapToObj(i -> breaksAfter(random.nextInt(12), breaks[random.nextInt(3)]))
            .toArray(ScriptedExecution.Turn[]::new);
    ScriptedExecution script = new ScriptedExecution(events, turns).repeating(random.nextInt(4));
    ByteArrayOutputStream got = new ByteArrayOutputStream();

    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client =
            server.client(b -> b.timing(timing.timing()).reattachTimeout(Duration.ofDays(1)));
        ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream()) {
      ExecutionEvent end = events.get(events.size() - 1);
      assertThat(stream.await(b -> got.writeBytes(b.toByteArray()), b -> {}))
          .isEqualTo(EventMapper.fromProto(end));
    }

    assertThat(got.toByteArray()).isEqualTo(expected.toByteArray());
  }

  private String read(ScriptedExecution script) {
    StringBuilder out = new StringBuilder();
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client(b -> b.timing(timing.timing()));
        ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream()) {
      assertThat(stream.await(b -> out.append(b.toStringUtf8()), b -> {}).succeeded()).isTrue();
      assertThat(stream.reattachments()).isEqualTo(timing.waits().size());
    }
    return out.toString();
  }

  private SandkeeperException failure(ScriptedExecution script) {
    try (FakeServer server = new FakeServer(script);
        SandkeeperClient client = server.client(b -> b.timing(timing.timing()));
        ExecutionStream stream = client.sandbox(SANDBOX).shell("true").stream()) {
      return failure(stream);
    }
  }

  private static SandkeeperException failure(ExecutionStream stream) {
    try {
      stream.await();
      throw new AssertionError("the stream did not fail");
    } catch (SandkeeperException e) {
      return e;
    }
  }
}
