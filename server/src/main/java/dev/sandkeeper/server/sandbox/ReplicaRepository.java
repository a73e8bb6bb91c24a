package dev.sandkeeper.server.sandbox;

import java.time.Duration;
import java.time.Instant;

/** Keeps which servers are there. Times are the database's own. */
public interface ReplicaRepository {

  /** What came of an attempt to register. */
  sealed interface Registering {
    /**
     * The server has the name.
     *
     * @param incarnation how often the name was registered, from 1
     */
    record Registered(long incarnation) implements Registering {}

    /**
     * Another server of the name is alive.
     *
     * @param place where its engines run sandboxes
     * @param renewedUntil until when it counts as alive, unless it gives another sign of life
     */
    record Taken(String place, Instant renewedUntil) implements Registering {}
  }

  /**
   * Registers a server that starts.
   *
   * @param nodeId its name
   * @param place where its engines run sandboxes; who holds the same has outlived the server before
   * @param timeout how long it counts as alive without a sign of life
   */
  Registering register(String nodeId, String place, Duration timeout);

  /** Takes down a sign of life; false when another server has the name. */
  boolean renew(String nodeId, long incarnation, Duration timeout);

  /** Returns how many servers count as alive. */
  int countAlive();
}
