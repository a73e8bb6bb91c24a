package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/** The engines of this server by their names, of which one is the default. */
public final class Engines {
  private final Map<String, Member> members;
  private final String defaultName;

  /**
   * An engine with what this server knows of it.
   *
   * @param engine the engine
   * @param capacity how many sandboxes may run in it, of all servers together; empty for no bound
   * @param monitor tells how it is
   */
  public record Member(SandboxEngine engine, OptionalInt capacity, EngineMonitor monitor) {

    /** Checks the capacity. */
    public Member {
      if (capacity.isPresent() && capacity.getAsInt() < 1) {
        throw new IllegalArgumentException(
            "capacity: " + capacity.getAsInt() + " (expected: > 0, or none)");
      }
    }

    /** Returns the engine's name. */
    public String name() {
      return engine.name();
    }
  }

  /**
   * Makes the registry.
   *
   * @param defaultName runs what names no engine
   * @param members each of another name
   * @throws SandkeeperException {@link ErrorReason#ENGINE_MISSING} when there is no engine of the
   *     default's name
   */
  public Engines(String defaultName, List<Member> members) {
    Map<String, Member> byName = new LinkedHashMap<>();
    for (Member member : members) {
      if (byName.put(member.name(), member) != null) {
        throw new IllegalArgumentException("engines: two of the name " + member.name());
      }
      String place = member.engine().place();
      if (!place.startsWith(prefix(member.name())) || place.contains("\n")) {
        throw new IllegalArgumentException(
            "place: " + place + " (expected: one line after " + prefix(member.name()) + ")");
      }
    }
    this.members = Collections.unmodifiableMap(byName);
    this.defaultName = defaultName;
    var _ = require(defaultName);
  }

  /** Returns the name of the engine that runs what names none. */
  public String defaultName() {
    return defaultName;
  }

  /** Returns the engines with what is known of them, in the order in which they were given. */
  public Collection<Member> all() {
    return members.values();
  }

  /** Returns the engine of that name. */
  public Optional<SandboxEngine> find(String name) {
    return Optional.ofNullable(members.get(name)).map(Member::engine);
  }

  /**
   * Returns the engine of that name with what is known of it.
   *
   * @throws SandkeeperException {@link ErrorReason#ENGINE_MISSING}, naming those that there are
   */
  public Member require(String name) {
    Member member = members.get(name);
    if (member == null) {
      throw SandkeeperException.of(
              ErrorReason.ENGINE_MISSING,
              "This server has no engine of that name; configure it, or name one that there is.")
          .with("engine", name)
          .with("engines", String.join(",", members.keySet()));
    }
    return member;
  }

  /** Returns how many sandboxes may run in an engine; empty for no bound, and for no engine. */
  public OptionalInt capacity(String name) {
    Member member = members.get(name);
    return member == null ? OptionalInt.empty() : member.capacity();
  }

  /** Returns where the engines run their sandboxes: a line for each. */
  public String places() {
    return members.values().stream()
        .map(member -> member.engine().place())
        .collect(Collectors.joining("\n"));
  }

  /**
   * Returns where an engine of another server runs its sandboxes.
   *
   * @param name the engine's
   * @param places what {@link #places} of that server is
   */
  public static Optional<String> placeOf(String name, String places) {
    return places.lines().filter(place -> place.startsWith(prefix(name))).findFirst();
  }

  private static String prefix(String name) {
    return name + ":";
  }
}
