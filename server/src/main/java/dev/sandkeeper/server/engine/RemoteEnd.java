package dev.sandkeeper.server.engine;

import java.util.Optional;

/** What came of ending a sandbox of another engine object, whose server is silent. */
public sealed interface RemoteEnd {
  /**
   * Nothing of it runs.
   *
   * @param usage its last usage; empty when there was nothing to read
   */
  record Gone(Optional<UsageReading> usage) implements RemoteEnd {}

  /** It cannot be seen or ended from here; it ends by itself when its paid time is over. */
  record OutOfReach() implements RemoteEnd {}
}
