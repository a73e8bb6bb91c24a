package dev.sandkeeper.server.engine.local;

/** What to tell somebody whose machine or process is not prepared. */
final class SetUp {

  /** One line, to end a message with. */
  static final String HOW =
      "prepare this machine once with 'sudo deploy/setup-host', then start by"
          + " 'deploy/lib/in-namespace COMMAND'";

  private SetUp() {}
}
