package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * This server's place among those on one database: a thread of its own gives a sign of life at
 * every quarter of the timeout.
 *
 * <p>A server that has not been heard for the timeout starts nothing, as the others may have taken
 * over what it runs. It counts by its own monotonic clock and from before each sign, and so never
 * believes longer than the others that it is heard.
 */
public final class Registration implements AutoCloseable {
  private static final Logger logger = LoggerFactory.getLogger(Registration.class);
  private static final int SIGNS_PER_TIMEOUT = 4;

  private final ReplicaRepository repository;
  private final String nodeId;
  private final long incarnation;
  private final Duration timeout;
  private final LongSupplier nanoTime;
  private final CountDownLatch closed = new CountDownLatch(1);
  private final Thread thread;
  private volatile long heardUntilNanos;

  private Registration(
      ReplicaRepository repository,
      String nodeId,
      long incarnation,
      Duration timeout,
      LongSupplier nanoTime,
      long heardUntilNanos) {
    this.repository = repository;
    this.nodeId = nodeId;
    this.incarnation = incarnation;
    this.timeout = timeout;
    this.nanoTime = nanoTime;
    this.heardUntilNanos = heardUntilNanos;
    this.thread = Thread.ofPlatform().daemon().name("sign-of-life").unstarted(this::giveSigns);
  }

  /**
   * Registers the server and begins to give signs of life. While another server of the name seems
   * to be alive it waits, as that one may only just have been killed.
   *
   * @param nodeId its name
   * @param place where its engines run sandboxes
   * @param timeout after how long without a sign it counts as gone
   * @param nanoTime the monotonic clock, in nanoseconds, usually {@code System::nanoTime}
   * @throws SandkeeperException {@link ErrorReason#ALREADY_EXISTS} when the other is alive
   */
  public static Registration start(
      ReplicaRepository repository,
      String nodeId,
      String place,
      Duration timeout,
      LongSupplier nanoTime) {
    long patience = nanoTime.getAsLong() + timeout.multipliedBy(2).toNanos();
    while (true) {
      long before = nanoTime.getAsLong();
      switch (repository.register(nodeId, place, timeout)) {
        case ReplicaRepository.Registering.Registered registered -> {
          Registration registration =
              new Registration(
                  repository,
                  nodeId,
                  registered.incarnation(),
                  timeout,
                  nanoTime,
                  before + timeout.toNanos());
          registration.thread.start();
          return registration;
        }
        case ReplicaRepository.Registering.Taken taken -> {
          if (nanoTime.getAsLong() - patience > 0) {
            throw SandkeeperException.of(
                    ErrorReason.ALREADY_EXISTS,
                    "Another server on the database has the same node-id; give each its own.")
                .with("nodeId", nodeId)
                .with("place", taken.place());
          }
          logger
              .atInfo()
              .addKeyValue("nodeId", nodeId)
              .addKeyValue("until", taken.renewedUntil())
              .log("Waiting for a server of the same name to be gone");
          pause(timeout.dividedBy(SIGNS_PER_TIMEOUT));
        }
      }
    }
  }

  private static void pause(Duration time) {
    try {
      Thread.sleep(time);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw SandkeeperException.of(ErrorReason.SHUTTING_DOWN, "The server stops.");
    }
  }

  /**
   * Requires that the other servers know this one to be alive.
   *
   * @throws SandkeeperException {@link ErrorReason#DATABASE_UNAVAILABLE} when they may not
   */
  void requireHeard() {
    if (nanoTime.getAsLong() - heardUntilNanos >= 0) {
      throw SandkeeperException.of(
              ErrorReason.DATABASE_UNAVAILABLE,
              "The server has lost touch with the database, and starts nothing until it is back.")
          .with("nodeId", nodeId)
          .retryAfter(timeout.dividedBy(SIGNS_PER_TIMEOUT));
    }
  }

  private void giveSigns() {
    long interval = timeout.dividedBy(SIGNS_PER_TIMEOUT).toNanos();
    try {
      while (!closed.await(interval, TimeUnit.NANOSECONDS)) {
        giveSign();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void giveSign() {
    long before = nanoTime.getAsLong();
    try {
      if (repository.renew(nodeId, incarnation, timeout)) {
        heardUntilNanos = before + timeout.toNanos();
      } else {
        heardUntilNanos = before;
        logger
            .atError()
            .addKeyValue("nodeId", nodeId)
            .log("Another server has this one's node-id; nothing more is started here");
      }
    } catch (RuntimeException e) {
      logger.atWarn().setCause(e).log("A sign of life could not be given");
    }
  }

  /** Gives no more signs: the others take over when the timeout is over. */
  @Override
  public void close() {
    closed.countDown();
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
