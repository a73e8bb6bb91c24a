package dev.sandkeeper.server.engine.guest;

import java.util.Map;

/** What is fixed inside every sandbox; the agent holds the same. */
public final class Guest {

  /** User and group id of the agent. */
  public static final int AGENT_ID = 998;

  /** User and group id of everything else. */
  public static final int USER_ID = 1000;

  public static final String HOME = "/home/user";

  /** Processes on top of the user's: the agent's supervisors and workers. */
  public static final int AGENT_PROCESSES = 256;

  /** What may wait for the program in its supervisor and on the way there. */
  public static final int MAX_WAITING_INPUT_BYTES = 128 * 1024;

  /** The name of the socket, in its folder, that the agent dials. */
  public static final String ENGINE_SOCKET = "engine.sock";

  /** The name of the socket beside it that takes connections to hosts. */
  public static final String EGRESS_SOCKET = "egress.sock";

  /** The version of the conversation between engine and agent. */
  public static final String PROTOCOL = "3";

  /** Variables of every execution, before the sandbox's own. */
  public static final Map<String, String> ENVIRONMENT =
      Map.of(
          "PATH",
              "/home/user/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "HOME", HOME,
          "USER", "user",
          "LOGNAME", "user",
          "SHELL", "/bin/bash",
          "LANG", "C.UTF-8",
          "TZ", "UTC");

  /** Where programs find the way out, on the sandbox's own loopback; the usual one of proxies. */
  public static final int PROXY_PORT = 3128;

  private static final String PROXY = "http://127.0.0.1:" + PROXY_PORT;
  private static final String NOT_BY_PROXY = "localhost,127.0.0.1,::1";

  /** Variables by which programs know of the way out; some read them in lower case only. */
  public static final Map<String, String> PROXY_ENVIRONMENT =
      Map.of(
          "HTTP_PROXY", PROXY,
          "http_proxy", PROXY,
          "HTTPS_PROXY", PROXY,
          "https_proxy", PROXY,
          "ALL_PROXY", PROXY,
          "all_proxy", PROXY,
          "NO_PROXY", NOT_BY_PROXY,
          "no_proxy", NOT_BY_PROXY,
          // Without it Node.js 24 does not look at the others, and older ones never do.
          "NODE_USE_ENV_PROXY", "1");

  private Guest() {}
}
