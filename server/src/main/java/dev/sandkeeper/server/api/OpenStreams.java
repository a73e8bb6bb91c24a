package dev.sandkeeper.server.api;

import dev.sandkeeper.server.access.ApiKeys;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The calls that stay open. A key is looked at when a call begins; these calls also end when it
 * stops working later, and when the server stops.
 */
public final class OpenStreams {
  private static final Duration RETRY_DELAY = Duration.ofSeconds(1);

  private final ApiKeys apiKeys;
  private final int maxOpen;
  private final int maxOpenPerTenant;
  private final int maxOpenPerKey;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition left = lock.newCondition();

  /** Guarded by the lock. */
  private final Set<Registration> open = new HashSet<>();

  /** How many are open of each tenant that has any. Guarded by the lock. */
  private final Map<TenantId, Integer> perTenant = new HashMap<>();

  /** How many are open of each key that has any. Guarded by the lock. */
  private final Map<String, Integer> perKey = new HashMap<>();

  private boolean stopped;

  /**
   * Keeps track of calls.
   *
   * @param maxOpen how many may be open
   * @param maxOpenPerTenant how many of one tenant
   * @param maxOpenPerKey how many of one key
   */
  public OpenStreams(ApiKeys apiKeys, int maxOpen, int maxOpenPerTenant, int maxOpenPerKey) {
    this.apiKeys = apiKeys;
    this.maxOpen = maxOpen;
    this.maxOpenPerTenant = maxOpenPerTenant;
    this.maxOpenPerKey = maxOpenPerKey;
  }

  /** What a call that stays open does. */
  @FunctionalInterface
  public interface Work {
    /** Does everything, and leaves off when it is interrupted. */
    void run() throws InterruptedException;
  }

  /**
   * What sends the messages of a call that stays open.
   *
   * @param <R> a message
   */
  @FunctionalInterface
  interface Sending<R> {
    /** Sends them all, and leaves off when it is interrupted. */
    void to(PacedSender<R> sender) throws InterruptedException;
  }

  /** A call that is open. Closing it says that it is over, however it ended. */
  public final class Registration implements AutoCloseable {
    private final String keyId;
    private final TenantId tenantId;
    private final Consumer<SandkeeperException> end;

    private Registration(Principal principal, Consumer<SandkeeperException> end) {
      this.keyId = principal.keyId();
      this.tenantId = principal.tenantId();
      this.end = end;
    }

    @Override
    public void close() {
      lock.lock();
      try {
        remove(this);
        left.signalAll();
      } finally {
        lock.unlock();
      }
    }
  }

  /**
   * Sends a call's messages on a thread of its own, as {@link #run} does its work; returns at once.
   */
  <R> void send(Principal principal, StreamObserver<R> observer, Sending<R> sending) {
    PacedSender<R> sender = new PacedSender<>((ServerCallStreamObserver<R>) observer);
    sender.start(() -> run(principal, () -> sending.to(sender)));
  }

  /**
   * Does a call's work on the current thread, which is interrupted when the call has to end.
   *
   * @throws SandkeeperException {@link ErrorReason#INVALID_CREDENTIALS} when the key stopped
   *     working, {@link ErrorReason#SHUTTING_DOWN} when the server stops, {@link
   *     ErrorReason#TOO_MANY_REQUESTS} when too many are open, and what the work throws
   * @throws InterruptedException when somebody else interrupts the thread
   */
  public void run(Principal principal, Work work) throws InterruptedException {
    Interruption interruption = new Interruption(Thread.currentThread());
    try (var _ = register(principal, interruption::end)) {
      work.run();
    } catch (InterruptedException | RuntimeException e) {
      interruption.throwReason();
      throw e;
    } finally {
      interruption.over();
    }
  }

  /**
   * Refuses a call that would be one too many, before it starts what goes on without it. Calls that
   * begin at the same moment may still be refused behind that; what they started can be attached
   * to.
   *
   * @throws SandkeeperException as {@link #register} does
   */
  void requireRoom(Principal principal) {
    lock.lock();
    try {
      refuseFurther(principal);
    } finally {
      lock.unlock();
    }
  }

  /**
   * Begins a call that stays open.
   *
   * @param end ends the call with a failure; called once at most, from another thread, and must not
   *     block
   * @throws SandkeeperException {@link ErrorReason#SHUTTING_DOWN}, or {@link
   *     ErrorReason#TOO_MANY_REQUESTS} when too many are open
   */
  public Registration register(Principal principal, Consumer<SandkeeperException> end) {
    Registration registration = new Registration(principal, end);
    lock.lock();
    try {
      refuseFurther(principal);
      open.add(registration);
      var _ = perTenant.merge(registration.tenantId, 1, Integer::sum);
      var _ = perKey.merge(registration.keyId, 1, Integer::sum);
    } finally {
      lock.unlock();
    }
    return registration;
  }

  /** Returns how many calls are open. */
  public int count() {
    lock.lock();
    try {
      return open.size();
    } finally {
      lock.unlock();
    }
  }

  /** Ends the calls whose keys work no more. Asks for all keys at once. */
  public void check() {
    Set<String> keyIds = keyIds();
    if (!keyIds.isEmpty()) {
      keyIds.removeAll(apiKeys.working(keyIds));
      end(
          call -> keyIds.contains(call.keyId),
          SandkeeperException.of(
              ErrorReason.INVALID_CREDENTIALS,
              "The API key has expired or was revoked while the call was open."));
    }
  }

  /** Lets the calls end by themselves for a while, then ends those that are left. */
  public void stop(Duration grace) throws InterruptedException {
    lock.lock();
    try {
      long nanos = grace.toNanos();
      while (!open.isEmpty() && nanos > 0) {
        nanos = left.awaitNanos(nanos);
      }
      stopped = true;
    } finally {
      lock.unlock();
    }
    end(_ -> true, shuttingDown());
  }

  private Set<String> keyIds() {
    lock.lock();
    try {
      return open.stream().map(call -> call.keyId).collect(Collectors.toCollection(HashSet::new));
    } finally {
      lock.unlock();
    }
  }

  private void end(Predicate<Registration> which, SandkeeperException failure) {
    List<Registration> ending;
    lock.lock();
    try {
      ending = open.stream().filter(which).toList();
      ending.forEach(this::remove);
    } finally {
      lock.unlock();
    }
    ending.forEach(call -> call.end.accept(failure));
  }

  /** The caller holds the lock. */
  private void refuseFurther(Principal principal) {
    if (stopped) {
      throw shuttingDown();
    }
    if (open.size() >= maxOpen) {
      throw tooMany("server", maxOpen);
    }
    if (perTenant.getOrDefault(principal.tenantId(), 0) >= maxOpenPerTenant) {
      throw tooMany("tenant", maxOpenPerTenant);
    }
    if (perKey.getOrDefault(principal.keyId(), 0) >= maxOpenPerKey) {
      throw tooMany("key", maxOpenPerKey);
    }
  }

  /** Forgets a call that may be forgotten already. The caller holds the lock. */
  private void remove(Registration registration) {
    if (open.remove(registration)) {
      countDown(perTenant, registration.tenantId);
      countDown(perKey, registration.keyId);
    }
  }

  private static <K> void countDown(Map<K, Integer> counts, K of) {
    var _ = counts.computeIfPresent(of, (_, count) -> count == 1 ? null : count - 1);
  }

  private static SandkeeperException tooMany(String whose, int maxOpenStreams) {
    return SandkeeperException.of(
            ErrorReason.TOO_MANY_REQUESTS,
            "As many calls that stay open are open as may be; end one, or wait.")
        .with("limit", whose)
        .with("maxOpenStreams", maxOpenStreams)
        .retryAfter(RETRY_DELAY);
  }

  private static SandkeeperException shuttingDown() {
    return SandkeeperException.of(
            ErrorReason.SHUTTING_DOWN, "The server stops; call again, then go on where you were.")
        .retryAfter(RETRY_DELAY);
  }

  /** Interrupts a thread for a reason, while its work goes on and never behind it. */
  private static final class Interruption {
    private final Thread thread;
    private @Nullable SandkeeperException reason;
    private boolean over;

    Interruption(Thread thread) {
      this.thread = thread;
    }

    synchronized void end(SandkeeperException failure) {
      if (!over) {
        reason = failure;
        thread.interrupt();
      }
    }

    synchronized void over() {
      over = true;
      if (reason != null) {
        Thread.interrupted();
      }
    }

    /** Throws the reason if there was an interruption. */
    synchronized void throwReason() {
      if (reason != null) {
        throw reason;
      }
    }
  }
}
