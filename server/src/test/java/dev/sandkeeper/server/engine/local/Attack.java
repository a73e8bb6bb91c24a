package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import java.io.IOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Stream;

/**
 * A program that attacks, as its file says of itself: comments {@code # Key: value} at its head.
 *
 * <ul>
 *   <li>{@code Group}, {@code Tries}, {@code Idea}, {@code Outcome}: what it is.
 *   <li>{@code Sandbox: own}: it ruins the sandbox it runs in.
 *   <li>{@code Runs: as a cell} of Python, or {@code in a terminal}; a command otherwise.
 *   <li>{@code Ends}: the reasons it may end by, {@code COMPLETED} otherwise; {@code Exit}: its
 *       code.
 *   <li>{@code Deadline}: in seconds, 40 otherwise.
 *   <li>{@code Host}: what the host does meanwhile, a {@link HostCall}.
 *   <li>{@code Holds: yes}: it says "waiting" while it holds all it could get, until there is a
 *       file {@code go} at home: then the neighbour is looked at.
 *   <li>{@code After: yes}: it is run again at the end, with the argument {@code after}.
 *   <li>{@code Next: may be refused}: the sandbox may have no room for another program.
 * </ul>
 *
 * @param name of its file, without the ending
 * @param file the program
 * @param head the keys with their values
 */
record Attack(String name, Path file, Map<String, String> head) {

  /** How it is run. */
  enum Kind {
    COMMAND,
    CELL,
    TERMINAL
  }

  /** Where the programs lie, with what they share in a folder below. */
  static Path folder() {
    try {
      URI place = Objects.requireNonNull(Attack.class.getResource("/attacks")).toURI();
      return Path.of(place);
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Returns all, by group and name. */
  static List<Attack> all() throws IOException {
    try (Stream<Path> files = Files.list(folder())) {
      return files
          .filter(file -> file.toString().matches(".*\\.(py|sh)"))
          .map(Attack::read)
          .sorted((one, other) -> one.toString().compareTo(other.toString()))
          .toList();
    }
  }

  private static Attack read(Path file) {
    try {
      Map<String, String> head = new HashMap<>();
      for (String line : Files.readAllLines(file)) {
        if (!line.startsWith("#")) {
          break;
        }
        int colon = line.indexOf(": ");
        if (colon > 0) {
          head.put(line.substring(2, colon), line.substring(colon + 2).strip());
        }
      }
      String name = file.getFileName().toString().replaceAll("\\..*", "");
      return new Attack(name, file, Map.copyOf(head));
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }

  Optional<String> said(String key) {
    return Optional.ofNullable(head.get(key));
  }

  String group() {
    return said("Group").orElseThrow();
  }

  boolean ownSandbox() {
    return said("Sandbox").isPresent();
  }

  Kind kind() {
    return switch (said("Runs").orElse("")) {
      case "" -> Kind.COMMAND;
      case "as a cell" -> Kind.CELL;
      case "in a terminal" -> Kind.TERMINAL;
      default -> throw new IllegalStateException(name + ": Runs");
    };
  }

  Set<Reason> ends() {
    EnumSet<Reason> reasons = EnumSet.noneOf(Reason.class);
    Arrays.stream(said("Ends").orElse("COMPLETED").split(", ", -1))
        .forEach(reason -> reasons.add(Reason.valueOf(reason)));
    return reasons;
  }

  /** Returns its exit code where it ends by itself; empty where any will do. */
  OptionalInt exitCode() {
    if (said("Exit").isPresent()) {
      return OptionalInt.of(Integer.parseInt(said("Exit").orElseThrow()));
    }
    return said("Ends").isPresent() ? OptionalInt.empty() : OptionalInt.of(0);
  }

  Duration deadline() {
    return Duration.ofSeconds(Long.parseLong(said("Deadline").orElse("40")));
  }

  Optional<HostCall> hostCall() {
    return said("Host").map(word -> HostCall.valueOf(word.toUpperCase(Locale.ROOT)));
  }

  boolean holds() {
    return said("Holds").isPresent();
  }

  boolean runsAfter() {
    return said("After").isPresent();
  }

  boolean nextMayBeRefused() {
    return said("Next").isPresent();
  }

  @Override
  public String toString() {
    return group() + "/" + name;
  }
}
