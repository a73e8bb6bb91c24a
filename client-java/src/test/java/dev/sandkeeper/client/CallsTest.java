package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateSandboxResponse;
import dev.sandkeeper.v1.GetSandboxRequest;
import dev.sandkeeper.v1.GetSandboxResponse;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.PauseSandboxRequest;
import dev.sandkeeper.v1.PauseSandboxResponse;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import dev.sandkeeper.v1.ResumeSandboxRequest;
import dev.sandkeeper.v1.ResumeSandboxResponse;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SetLimitRequest;
import dev.sandkeeper.v1.SetLimitResponse;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import dev.sandkeeper.v1.TerminateSandboxResponse;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

// Goal: what may arrive twice is tried again while the server is away, and nothing else ever is.
class CallsTest {
  private static final String SANDBOX = "a".repeat(20);
  private final RuntimeException away = Status.UNAVAILABLE.asRuntimeException();

  private final TestTiming timing = new TestTiming();

  @Test
  void readsAreTriedThreeTimes() {
    Flaky flaky = new Flaky(away, away);

    withClient(flaky, client -> assertThat(client.getSandbox(SANDBOX).getTier()).isEqualTo("t"));

    assertThat(flaky.calls).hasSize(3);
    assertThat(timing.waits().get(0)).isBetween(Duration.ofMillis(50), Duration.ofMillis(100));
    assertThat(timing.waits().get(1)).isBetween(Duration.ofMillis(100), Duration.ofMillis(200));
  }

  @Test
  void thirdFailureIsTold() {
    Flaky flaky = new Flaky(away, away, away);

    withClient(
        flaky,
        client ->
            assertThatThrownBy(() -> client.getSandbox(SANDBOX))
                .isInstanceOf(SandkeeperException.class));

    assertThat(flaky.calls).hasSize(3);
  }

  @Test
  void creationsAreRepeatedUnderTheirRequestId() {
    Flaky flaky = new Flaky(away);

    withClient(flaky, client -> assertThat(client.createSandbox().id()).isEqualTo(SANDBOX));

    assertThat(flaky.calls).hasSize(2);
    assertThat(flaky.calls.get(0)).isEqualTo(flaky.calls.get(1));
    assertThat(((CreateSandboxRequest) flaky.calls.get(0)).getRequestId()).isNotEmpty();
  }

  @Test
  void creationThatTheEngineFailedIsNotRepeated() {
    Flaky flaky =
        new Flaky(
            Refusals.of(Status.Code.UNAVAILABLE, "ENGINE_UNAVAILABLE", Duration.ofSeconds(1)));

    withClient(
        flaky,
        client ->
            assertThatThrownBy(client::createSandbox)
                .isInstanceOfSatisfying(
                    SandkeeperException.class,
                    e -> assertThat(e.retryDelay()).contains(Duration.ofSeconds(1))));

    assertThat(flaky.calls).hasSize(1);
  }

  @Test
  void endsAreRepeated() {
    Flaky flaky = new Flaky(away);

    withClient(flaky, client -> client.terminateSandbox(SANDBOX));

    assertThat(flaky.calls).hasSize(2);
  }

  @Test
  void pausesAndResumesAreRepeated() {
    Flaky pauses = new Flaky(away);
    Flaky resumes = new Flaky(away);

    withClient(pauses, client -> client.sandbox(SANDBOX).pause());
    withClient(resumes, client -> client.sandbox(SANDBOX).resume());

    assertThat(pauses.calls).hasSize(2);
    assertThat(resumes.calls).hasSize(2);
  }

  @Test
  void whatIsNotSafeIsSentOnce() {
    AtomicInteger calls = new AtomicInteger();
    QuotaServiceGrpc.QuotaServiceImplBase refusing =
        new QuotaServiceGrpc.QuotaServiceImplBase() {
          @Override
          public void setLimit(SetLimitRequest request, StreamObserver<SetLimitResponse> observer) {
            calls.incrementAndGet();
            observer.onError(away);
          }
        };
    try (FakeServer server = new FakeServer(refusing);
        SandkeeperClient client = server.client(b -> b.timing(timing.timing()))) {
      assertThatThrownBy(() -> client.setLimit(LimitPeriod.LIMIT_PERIOD_DAY, 1))
          .isInstanceOf(SandkeeperException.class);
    }

    assertThat(calls).hasValue(1);
    assertThat(timing.waits()).isEmpty();
  }

  @ParameterizedTest
  @EnumSource(
      value = Status.Code.class,
      mode = EnumSource.Mode.EXCLUDE,
      names = {"OK", "UNAVAILABLE"})
  void otherFailuresAreFinal(Status.Code code) {
    Flaky flaky = new Flaky(code.toStatus().asRuntimeException());

    withClient(
        flaky,
        client ->
            assertThatThrownBy(() -> client.getSandbox(SANDBOX))
                .isInstanceOfSatisfying(
                    SandkeeperException.class, e -> assertThat(e.code()).isEqualTo(code)));

    assertThat(flaky.calls).hasSize(1);
  }

  @Test
  void serverIsAskedNoSoonerThanItSays() {
    Flaky flaky =
        new Flaky(
            Refusals.of(Status.Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", Duration.ofSeconds(7)));

    withClient(flaky, client -> client.getSandbox(SANDBOX));

    assertThat(timing.waits()).containsExactly(Duration.ofSeconds(7));
  }

  @Test
  void noWaitGoesBeyondTheTimeout() {
    Flaky flaky =
        new Flaky(
            Refusals.of(Status.Code.UNAVAILABLE, "DATABASE_UNAVAILABLE", Duration.ofSeconds(31)));

    withClient(
        flaky,
        client ->
            assertThatThrownBy(() -> client.getSandbox(SANDBOX))
                .isInstanceOfSatisfying(
                    SandkeeperException.class,
                    e -> assertThat(e.retryDelay()).contains(Duration.ofSeconds(31))));

    assertThat(timing.waits()).isEmpty();
  }

  @Test
  void interruptEndsTheWaiting() {
    Timing interrupted =
        new Timing(
            System::nanoTime,
            wait -> {
              throw new InterruptedException();
            },
            (wait, task) -> {},
            new java.util.Random(1));
    Flaky flaky = new Flaky(away);
    try (FakeServer server = new FakeServer(flaky);
        SandkeeperClient client = server.client(b -> b.timing(interrupted))) {
      assertThatThrownBy(() -> client.getSandbox(SANDBOX))
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.code()).isEqualTo(Status.Code.CANCELLED));
      assertThat(Thread.interrupted()).isTrue();
    }
  }

  private void withClient(Flaky flaky, Consumer<SandkeeperClient> work) {
    try (FakeServer server = new FakeServer(flaky);
        SandkeeperClient client = server.client(b -> b.timing(timing.timing()))) {
      work.accept(client);
    }
  }

  /** Fails some calls, then answers. */
  private static final class Flaky extends SandboxServiceGrpc.SandboxServiceImplBase {
    private final Deque<RuntimeException> failures = new ArrayDeque<>();
    private final List<Object> calls = new ArrayList<>();

    Flaky(RuntimeException... failures) {
      this.failures.addAll(List.of(failures));
    }

    @Override
    public void createSandbox(
        CreateSandboxRequest request, StreamObserver<CreateSandboxResponse> observer) {
      answer(request, observer, CreateSandboxResponse.newBuilder().setSandbox(sandbox()).build());
    }

    @Override
    public void getSandbox(GetSandboxRequest request, StreamObserver<GetSandboxResponse> observer) {
      answer(request, observer, GetSandboxResponse.newBuilder().setSandbox(sandbox()).build());
    }

    @Override
    public void terminateSandbox(
        TerminateSandboxRequest request, StreamObserver<TerminateSandboxResponse> observer) {
      answer(request, observer, TerminateSandboxResponse.getDefaultInstance());
    }

    @Override
    public void pauseSandbox(
        PauseSandboxRequest request, StreamObserver<PauseSandboxResponse> observer) {
      answer(request, observer, PauseSandboxResponse.getDefaultInstance());
    }

    @Override
    public void resumeSandbox(
        ResumeSandboxRequest request, StreamObserver<ResumeSandboxResponse> observer) {
      answer(request, observer, ResumeSandboxResponse.getDefaultInstance());
    }

    private static Sandbox sandbox() {
      return Sandbox.newBuilder().setSandboxId(SANDBOX).setTier("t").build();
    }

    private <T> void answer(Object request, StreamObserver<T> observer, T answer) {
      calls.add(request);
      RuntimeException failure = failures.poll();
      if (failure == null) {
        observer.onNext(answer);
        observer.onCompleted();
      } else {
        observer.onError(failure);
      }
    }
  }
}
