package dev.sandkeeper.server.config;

import java.util.List;

/** The configuration is wrong; the message has a line for each problem. */
public final class ConfigurationException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final transient List<String> problems;

  ConfigurationException(List<String> problems) {
    super("The configuration is wrong:\n  " + String.join("\n  ", problems));
    this.problems = List.copyOf(problems);
  }

  /** Returns the problems, at least one, each naming its key. */
  public List<String> problems() {
    return problems;
  }
}
