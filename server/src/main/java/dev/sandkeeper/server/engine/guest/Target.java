package dev.sandkeeper.server.engine.guest;

import java.util.Optional;

/**
 * What an execution runs in.
 *
 * @param name in the agent's words
 * @param restarts how often it was restarted through this engine object
 * @param folder where it begins, if it has yet to; empty for the home
 */
record Target(String name, int restarts, Optional<String> folder) {

  /** A process of its own. */
  static final Target COMMAND = new Target(AgentLink.COMMAND, 0, Optional.empty());

  /**
   * Returns what the connections stand under over which it waits for work. Behind a restart they
   * are others: work is then to come the way that the agent's orders do, and not overtake one.
   */
  String waiting() {
    return restarts == 0 ? name : name + "#" + restarts;
  }
}
