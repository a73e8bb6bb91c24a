package dev.sandkeeper.server.engine.e2b;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.io.IOException;
import java.io.Reader;
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
import java.util.function.LongSupplier;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * What is remembered of a sandbox beside what E2B tells, for the engine object that comes next: the
 * end of its paid time, which E2B does not keep of a paused one, and its languages. Methods that
 * write throw an {@link EngineException}, {@code UNAVAILABLE}, when the file cannot be written.
 */
final class SavedSandbox {
  private static final String PAID_UNTIL = "paid-until";
  private static final String LANGUAGES = "languages";
  private static final String BEGUN = "begun";
  private static final String ROTATING = "rotating";

  private final Path file;
  private final InstantSource clock;
  private final LongSupplier nanoTime;
  private final Properties values = new Properties();

  /** When the paid time is over, as far as this object can count it. Guarded by this. */
  private long paidUntilNanos;

  /** Reads it, if it is there. */
  SavedSandbox(Path file, InstantSource clock) {
    this(file, clock, System::nanoTime);
  }

  /**
   * Reads it, if it is there.
   *
   * @param nanoTime a clock that is never set
   * @throws EngineException {@code UNAVAILABLE} when it cannot be read
   */
  SavedSandbox(Path file, InstantSource clock, LongSupplier nanoTime) {
    this.file = file;
    this.clock = clock;
    this.nanoTime = nanoTime;
    if (Files.exists(file)) {
      try (Reader reader = Files.newBufferedReader(file)) {
        values.load(reader);
      } catch (IOException e) {
        throw new EngineException(
            EngineException.Kind.UNAVAILABLE, "the file " + file + " cannot be read", e);
      }
    }
    paidUntilNanos = nanoTime.getAsLong() + leftByClock().toNanos();
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
    paid(paid);
    languages(languages);
  }

  /** Sets which languages it has interpreters for. */
  synchronized void languages(Set<Language> languages) {
    set(LANGUAGES, languages.stream().map(Language::name).collect(Collectors.joining(",")));
  }

  /** Returns whether its agent was ever there, with all that it begins with. */
  synchronized boolean begun() {
    return Boolean.parseBoolean(values.getProperty(BEGUN));
  }

  synchronized void setBegun() {
    set(BEGUN, "true");
  }

  /** Returns whether it is paused only so that its session begins anew. */
  synchronized boolean rotating() {
    return Boolean.parseBoolean(values.getProperty(ROTATING));
  }

  synchronized void rotating(boolean now) {
    set(ROTATING, Boolean.toString(now));
  }

  /**
   * Returns what is left of the paid time, zero when it is over; never more for the clock's having
   * been set back.
   */
  synchronized Duration left() {
    Duration counted = Duration.ofNanos(Math.max(0, paidUntilNanos - nanoTime.getAsLong()));
    Duration left = leftByClock();
    return left.compareTo(counted) < 0 ? left : counted;
  }

  private Duration leftByClock() {
    Instant until = Instant.parse(values.getProperty(PAID_UNTIL, Instant.EPOCH.toString()));
    Duration left = Duration.between(clock.instant(), until);
    return left.isNegative() ? Duration.ZERO : left;
  }

  /** Returns whether the paid time is over. */
  boolean isUnpaid() {
    return left().isZero();
  }

  /** Sets the paid time, from now; it is yet to be written. */
  synchronized void paid(Duration paid) {
    paidUntilNanos = nanoTime.getAsLong() + paid.toNanos();
    values.setProperty(PAID_UNTIL, clock.instant().plus(paid).toString());
  }

  /** Sets and writes a value, which stays as it was when it cannot be written. */
  private void set(String name, String value) {
    @Nullable Object before = values.setProperty(name, value);
    boolean written = false;
    try {
      write();
      written = true;
    } finally {
      if (!written) {
        values.remove(name);
        if (before != null) {
          values.put(name, before);
        }
      }
    }
  }

  /** Writes all that was set. */
  synchronized void write() {
    try {
      Path part = file.resolveSibling(file.getFileName() + ".part");
      try (Writer writer = Files.newBufferedWriter(part)) {
        values.store(writer, null);
      }
      Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.UNAVAILABLE, "the file " + file + " cannot be written", e);
    }
  }
}
