package dev.sandkeeper.bench;

import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What the program was asked to do.
 *
 * @param only the names of the rows to run; empty for all
 * @param samples how many runs each row gets; empty for the usual number
 * @param check whether a floor that is missed is a failure
 * @param json where the results go
 * @param data the folder for the server's data, which is there
 * @param log the file that the server's output is added to
 * @param e2bPeer the program that speaks E2B's protocol
 * @param serverCommand the program that is the server, with its arguments
 */
record Options(
    List<String> only,
    OptionalInt samples,
    boolean check,
    Optional<Path> json,
    Path data,
    Path log,
    Path e2bPeer,
    List<String> serverCommand) {

  private static final int MAX_SAMPLES = 100_000;

  Options {
    only = List.copyOf(only);
    serverCommand = List.copyOf(serverCommand);
  }

  /**
   * Reads a command line: {@code [--only NAME,...] [--samples N] [--check] [--json FILE] --data
   * FOLDER --log FILE --e2b-peer FILE -- SERVER [ARGUMENT...]}.
   *
   * @throws BenchException when it says something else
   */
  static Options parse(String... arguments) {
    Deque<String> words = new ArrayDeque<>(List.of(arguments));
    List<String> only = List.of();
    OptionalInt samples = OptionalInt.empty();
    boolean check = false;
    Optional<Path> json = Optional.empty();
    Optional<Path> data = Optional.empty();
    Optional<Path> log = Optional.empty();
    Optional<Path> e2bPeer = Optional.empty();
    while (!words.isEmpty()) {
      String word = words.remove();
      switch (word) {
        case "--only" -> only = List.of(value(word, words, "names of rows").split(",", -1));
        case "--samples" -> samples = OptionalInt.of(samples(value(word, words, "a number")));
        case "--check" -> check = true;
        case "--json" -> json = Optional.of(Path.of(value(word, words, "a file")));
        case "--data" -> data = Optional.of(Path.of(value(word, words, "a folder")));
        case "--log" -> log = Optional.of(Path.of(value(word, words, "a file")));
        case "--e2b-peer" -> e2bPeer = Optional.of(Path.of(value(word, words, "a program")));
        case "--" -> {
          if (data.isEmpty() || log.isEmpty() || e2bPeer.isEmpty() || words.isEmpty()) {
            throw new BenchException(
                "--data, --log, --e2b-peer and the server's command are needed");
          }
          return new Options(
              only, samples, check, json, data.get(), log.get(), e2bPeer.get(), List.copyOf(words));
        }
        default -> throw new BenchException("unknown option " + word + " (see --help)");
      }
    }
    throw new BenchException("the server's command is missing behind --");
  }

  private static String value(String option, Deque<String> words, String expected) {
    if (words.isEmpty() || words.peek().equals("--")) {
      throw new BenchException(option + " needs " + expected);
    }
    return words.remove();
  }

  private static int samples(String text) {
    try {
      int samples = Integer.parseInt(text);
      if (samples >= 1 && samples <= MAX_SAMPLES) {
        return samples;
      }
    } catch (NumberFormatException e) {
      // Told below, with the others.
    }
    throw new BenchException(
        "--samples: " + text + " (expected: a number from 1 to " + MAX_SAMPLES + ")");
  }
}
