package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.io.IOException;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Properties;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What is remembered of a sandbox beside what E2B tells, for the engine object that comes next: the
 * end of its paid time, which E2B does not keep of a paused one, and its languages.
 */
final class SavedSandbox {
  private static final String PAID_UNTIL = "paid-until";
  private static final String LANGUAGES = "languages";
  private static final String BEGUN = "begun";
  private static final String ROTATING = "rotating";

  private final Path file;
  private final InstantSource clock;
  private final Properties values = new Properties();

  /** Reads it, if it is there. */
  SavedSandbox(Path file, InstantSource clock) {
    this.file = file;
    this.clock = clock;
    if (Files.exists(file)) {
      try (Reader reader = Files.newBufferedReader(file)) {
        values.load(reader);
      } catch (IOException e) {
        throw new UncheckedIOException("cannot read " + file, e);
      }
    }
  }

  synchronized Set<Language> languages() {
    Set<Language> languages = EnumSet.of(Language.PYTHON, Language.BASH);
    Arrays.stream(values.getProperty(LANGUAGES, "").split(","))
        .filter(name -> !name.isEmpty())
        .map(Language::valueOf)
        .forEach(languages::add);
    return languages;
  }

  /** Begins with a new one, paid for that long from now. */
  synchronized void begin(Set<Language> languages, Duration paid) {
    values.setProperty(
        LANGUAGES, languages.stream().map(Language::name).collect(Collectors.joining(",")));
    paid(paid);
  }

  /** Returns whether its agent was ever there, with all that it begins with. */
  synchronized boolean begun() {
    return Boolean.parseBoolean(values.getProperty(BEGUN));
  }

  synchronized void setBegun() {
    values.setProperty(BEGUN, "true");
    write();
  }

  /** Returns whether it is paused only so that its session begins anew. */
  synchronized boolean rotating() {
    return Boolean.parseBoolean(values.getProperty(ROTATING));
  }

  synchronized void rotating(boolean now) {
    values.setProperty(ROTATING, Boolean.toString(now));
    write();
  }

  /** Returns what is left of the paid time; zero when it is over. */
  synchronized Duration left() {
    Instant until = Instant.parse(values.getProperty(PAID_UNTIL, Instant.EPOCH.toString()));
    Duration left = Duration.between(clock.instant(), until);
    return left.isNegative() ? Duration.ZERO : left;
  }

  /** Sets the paid time, from now. */
  synchronized void paid(Duration paid) {
    values.setProperty(PAID_UNTIL, clock.instant().plus(paid).toString());
    write();
  }

  private void write() {
    try {
      Path part = file.resolveSibling(file.getFileName() + ".part");
      try (Writer writer = Files.newBufferedWriter(part)) {
        values.store(writer, null);
      }
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write " + file, e);
    }
  }
}
