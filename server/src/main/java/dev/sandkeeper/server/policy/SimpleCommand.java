package dev.sandkeeper.server.policy;

import java.util.List;
import java.util.Set;

/**
 * A program with its arguments, as it stands in a command or a line for the shell.
 *
 * @param words not empty
 */
record SimpleCommand(List<String> words) {
  /** What the shell does by itself and that runs nothing else. */
  private static final Set<String> HARMLESS =
      Set.of(
          "cd",
          "echo",
          "printf",
          "test",
          "[",
          "[[",
          "true",
          "false",
          ":",
          "export",
          "unset",
          "set",
          "shift",
          "read",
          "return",
          "exit",
          "local",
          "declare",
          "pwd",
          "umask",
          "wait",
          "break",
          "continue");

  SimpleCommand {
    words = List.copyOf(words);
  }

  /** Returns the program as it is written. */
  String path() {
    return words.getFirst();
  }

  /** Returns the last name of the program's path. */
  String program() {
    return path().substring(path().lastIndexOf('/') + 1);
  }

  /** Returns the words with a space between each. */
  String text() {
    return String.join(" ", words);
  }

  /** Says whether it need not be allowed. */
  boolean isHarmless() {
    return HARMLESS.contains(path());
  }
}
