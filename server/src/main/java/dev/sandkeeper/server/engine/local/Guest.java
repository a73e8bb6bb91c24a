package dev.sandkeeper.server.engine.local;

import java.util.Map;

/** What is fixed inside every sandbox; {@code agent.py} holds the same. */
final class Guest {

  /** User and group id of the agent. */
  static final int AGENT_ID = 998;

  /** User and group id of everything else. */
  static final int USER_ID = 1000;

  static final String HOME = "/home/user";

  /** Processes on top of the user's: the agent's supervisors and workers. */
  static final int AGENT_PROCESSES = 256;

  /** The version of the conversation between engine and agent. */
  static final String PROTOCOL = "3";

  /** Variables of every execution, before the sandbox's own. */
  static final Map<String, String> ENVIRONMENT =
      Map.of(
          "PATH",
              "/home/user/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "HOME", HOME,
          "USER", "user",
          "LOGNAME", "user",
          "SHELL", "/bin/bash",
          "LANG", "C.UTF-8",
          "TZ", "UTC");

  private Guest() {}
}
