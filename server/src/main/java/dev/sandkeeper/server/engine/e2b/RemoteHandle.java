package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.EngineException;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** One sandbox at E2B, and the link to it while there is one. */
final class RemoteHandle implements AutoCloseable {
  private final ControlApi control;
  private final HttpCalls http;
  private final E2bSettings settings;
  private final String remoteId;
  private final Path sockets;
  private final Runnable gone;
  private final RandomGenerator random = new SecureRandom();

  // Guarded by this.
  private @Nullable E2bLink link;

  /** Whether there is to be no further link: a call that was under way comes too late. */
  private boolean closed;

  /**
   * Makes a handle without a link.
   *
   * @param remoteId E2B's id of it
   * @param sockets the folder of the sockets that the link leads to
   * @param gone told when the link finds that there is no such sandbox any more
   */
  RemoteHandle(
      ControlApi control,
      HttpCalls http,
      E2bSettings settings,
      String remoteId,
      Path sockets,
      Runnable gone) {
    this.control = control;
    this.http = http;
    this.settings = settings;
    this.remoteId = remoteId;
    this.sockets = sockets;
    this.gone = gone;
  }

  /** Links up, in place of the link that there was; not any more once this is closed. */
  synchronized void reach(Session session) {
    leave();
    if (closed) {
      return;
    }
    E2bLink made =
        new E2bLink(
            new Envd(settings, http, session),
            sockets,
            E2bAgent.relay(settings.link()),
            settings.link(),
            random,
            ignored -> gone.run());
    made.start();
    link = made;
  }

  /** Says whether the link stands now. */
  synchronized boolean isReached() {
    return link != null && link.connected();
  }

  /**
   * Asks E2B whether there is such a sandbox, running or paused.
   *
   * @throws EngineException {@code UNAVAILABLE} when E2B does not answer
   */
  boolean exists() {
    try {
      return control.find(remoteId).isPresent();
    } catch (E2bException e) {
      throw E2bFailures.of("E2B does not tell whether the sandbox is there", e);
    }
  }

  /** Ends the link, for good; the sandbox runs on. */
  @Override
  public synchronized void close() {
    closed = true;
    leave();
  }

  private synchronized void leave() {
    if (link != null) {
      link.close();
      link = null;
    }
  }

  private synchronized void abandonLink() {
    closed = true;
    if (link != null) {
      link.abandon();
      link = null;
    }
  }

  /**
   * Has E2B end the sandbox after this time, and not before.
   *
   * @throws EngineException {@code FAILED} when there is none, {@code UNAVAILABLE} when E2B does
   *     not answer
   */
  void keep(Duration paid) {
    try {
      control.timeout(remoteId, paid);
    } catch (E2bException e) {
      throw E2bFailures.of("the sandbox's time could not be extended", e);
    }
  }

  /** Has E2B hold it still, with its memory. What runs there loses its connections. */
  void pause() {
    leave();
    try {
      boolean ignored = control.pause(remoteId);
    } catch (E2bException e) {
      throw E2bFailures.of("the sandbox could not be paused", e);
    }
  }

  /**
   * Lets it go on, or takes it up again where it runs, and links up.
   *
   * @param paid after how long E2B ends it
   * @return whether it had been paused, so that its session has begun anew
   */
  boolean resume(Duration paid) {
    try {
      Session session = control.connect(remoteId, paid);
      reach(session);
      return session.resumed();
    } catch (E2bException e) {
      throw E2bFailures.of("the sandbox could not be resumed", e);
    }
  }

  /** Ends it, if it is there, and the link, for good. */
  void kill() {
    abandonLink();
    try {
      boolean ignored = control.kill(remoteId);
    } catch (E2bException e) {
      throw E2bFailures.of("the sandbox could not be ended", e);
    }
  }
}
