package dev.sandkeeper.server.engine.e2b;

import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Has the agent in a sandbox of E2B's reach this server's sockets. A relay in the sandbox takes
 * what the agent dials, and all of it travels over the relay's standard streams. When that breaks,
 * all connections end, a new relay is started, and the agent dials again: it keeps what was not
 * acknowledged, so nothing is lost.
 */
final class E2bLink implements AutoCloseable {
  private static final Logger logger = LoggerFactory.getLogger(E2bLink.class);

  /** How long the end waits for the relay's. */
  private static final Duration CLOSE_TIME = Duration.ofSeconds(2);

  private final Envd envd;
  private final Path folder;
  private final Envd.Command relay;
  private final E2bSettings.LinkTimes times;
  private final RandomGenerator random;
  private final Consumer<E2bException> gone;
  private final AtomicReference<@Nullable LinkSession> current = new AtomicReference<>();
  private final Thread thread;
  private volatile boolean closed;

  /**
   * Does nothing yet.
   *
   * @param folder of this server, has {@code engine.sock} and, for a sandbox that may connect to
   *     hosts, {@code egress.sock}; this process can open them
   * @param relay what {@link E2bAgent#relay} returns
   * @param random spreads what is started again
   * @param gone told once, and the last there is, when the sandbox does not run any more
   */
  E2bLink(
      Envd envd,
      Path folder,
      Envd.Command relay,
      E2bSettings.LinkTimes times,
      RandomGenerator random,
      Consumer<E2bException> gone) {
    this.envd = envd;
    this.folder = folder;
    this.relay = relay;
    this.times = times;
    this.random = random;
    this.gone = gone;
    this.thread = Thread.ofVirtual().name("link-", 0).unstarted(this::run);
  }

  /** Begins to make the link, and to make it again whenever it breaks. */
  void start() {
    thread.start();
  }

  /** Returns whether the agent can reach this server now. */
  boolean connected() {
    LinkSession session = current.get();
    return session != null && session.connected();
  }

  private void run() {
    int failures = 0;
    try {
      while (!closed) {
        LinkSession session = new LinkSession(envd, folder, times);
        current.set(session);
        if (closed) {
          return;
        }
        try {
          session.run(relay);
        } catch (E2bException e) {
          if (closed) {
            return;
          }
          if (e.kind() == E2bException.Kind.GONE) {
            gone.accept(e);
            return;
          }
          failures = session.heldFor(times.ping()) ? 1 : failures + 1;
          logger
              .atWarn()
              .addKeyValue("sandbox", envd)
              .addKeyValue("failures", failures)
              .addKeyValue("reason", e.getMessage())
              .log("The link to a sandbox broke");
          Thread.sleep(e.retryAfter().map(this::atMost).orElse(backoff(failures)));
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private Duration atMost(Duration retryAfter) {
    Duration longest = times.longestRetryAfter();
    return retryAfter.compareTo(longest) < 0 ? retryAfter : longest;
  }

  /** From half of it to all of it, so that what broke together does not come back together. */
  private Duration backoff(int failures) {
    long full = times.waitAfter(failures).toMillis();
    return Duration.ofMillis(full / 2 + random.nextLong(full / 2 + 1));
  }

  /** Ends the link, whose relay ends with its sandbox. */
  void abandon() {
    closed = true;
    thread.interrupt();
    LinkSession session = current.get();
    if (session != null) {
      session.breakUp(E2bException.broken("the link was closed"));
    }
  }

  /** Ends the link and its relay; the agent looks for another, and keeps what it has to say. */
  @Override
  public void close() {
    abandon();
    LinkSession session = current.get();
    if (session == null) {
      return;
    }
    Thread end = Thread.ofVirtual().name("link-end-", 0).start(() -> endRelay(session));
    try {
      end.join(CLOSE_TIME);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private void endRelay(LinkSession session) {
    try {
      session.endRelay();
    } catch (E2bException e) {
      // It ends by itself when it hears nothing more.
      logger
          .atDebug()
          .addKeyValue("sandbox", envd)
          .addKeyValue("reason", e.getMessage())
          .log("Cannot end the relay of a link");
    }
  }
}
