package dev.sandkeeper.server.engine.guest;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** Connections over which a supervisor waits for its next execution, by what it runs. */
final class IdleConnections implements AutoCloseable {

  /** As many wait for the same; the agent holds the same, as {@code IDLE_LAUNCHERS}. */
  private static final int MOST = 2;

  // Guarded by this.
  private final Map<String, Deque<Connection>> connections = new HashMap<>();
  private final Map<String, Integer> running = new HashMap<>();
  private boolean closed;

  /** Counts an execution in; returns how many run the same already. */
  synchronized int enter(String target) {
    int others = running.getOrDefault(target, 0);
    running.put(target, others + 1);
    return others;
  }

  synchronized void leave(String target) {
    running.computeIfPresent(target, (_, count) -> count == 1 ? null : count - 1);
  }

  /** Takes the one that has waited longest: it has had the most time to get ready. */
  synchronized Optional<Connection> take(String target) {
    return Optional.ofNullable(queue(target).poll());
  }

  synchronized boolean isEmpty(String target) {
    return queue(target).isEmpty();
  }

  /** Keeps a connection, or closes it when enough wait, which ends its supervisor. */
  synchronized void put(String target, Connection connection) {
    if (closed || queue(target).size() >= MOST || !connection.rest()) {
      connection.close();
    } else {
      queue(target).add(connection);
    }
  }

  /** Closes those that wait for a target. */
  synchronized void dismiss(String target) {
    Deque<Connection> waiting = connections.remove(target);
    if (waiting != null) {
      waiting.forEach(Connection::close);
    }
  }

  private Deque<Connection> queue(String target) {
    return connections.computeIfAbsent(target, name -> new ArrayDeque<>(MOST));
  }

  @Override
  public synchronized void close() {
    closed = true;
    connections.values().forEach(queue -> queue.forEach(Connection::close));
    connections.clear();
  }
}
