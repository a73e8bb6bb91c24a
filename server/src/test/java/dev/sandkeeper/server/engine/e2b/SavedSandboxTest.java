package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is remembered of a sandbox, and what happens when that cannot be written. */
class SavedSandboxTest {
  private static final Clock CLOCK =
      Clock.fixed(Instant.parse("2026-11-01T12:00:00Z"), ZoneOffset.UTC);

  @TempDir private Path folder;

  private SavedSandbox read() {
    return new SavedSandbox(folder.resolve("sandbox"), CLOCK, () -> 0);
  }

  private SavedSandbox begun() {
    SavedSandbox saved = read();
    saved.begin(Set.of(Language.R), Duration.ofSeconds(60));
    return saved;
  }

  @Test
  void whatIsWrittenIsReadAgain() {
    SavedSandbox saved = begun();
    saved.setBegun();
    saved.rotating(true);

    SavedSandbox again = read();

    assertThat(again.languages())
        .containsExactlyInAnyOrder(Language.PYTHON, Language.BASH, Language.R);
    assertThat(again.left()).isEqualTo(Duration.ofSeconds(60));
    assertThat(again.begun()).isTrue();
    assertThat(again.rotating()).isTrue();
  }

  @Test
  void whatCannotBeWrittenIsNotSetAndToldAsAnEnginesFailure() throws Exception {
    SavedSandbox saved = begun();
    saved.rotating(false);
    Files.createDirectory(folder.resolve("sandbox.part"));

    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> saved.rotating(true))
        .satisfies(e -> assertThat(e.kind()).isEqualTo(EngineException.Kind.UNAVAILABLE));

    assertThat(saved.rotating()).isFalse();
    assertThat(read().rotating()).isFalse();
  }

  @Test
  void aClockThatIsSetBackPaysForNothing() {
    AtomicReference<Instant> now = new AtomicReference<>(CLOCK.instant());
    AtomicLong nanos = new AtomicLong();
    SavedSandbox saved = new SavedSandbox(folder.resolve("sandbox"), now::get, nanos::get);
    saved.begin(Set.of(), Duration.ofSeconds(60));

    now.set(CLOCK.instant().minusSeconds(3600));
    nanos.set(Duration.ofSeconds(20).toNanos());

    assertThat(saved.left()).isEqualTo(Duration.ofSeconds(40));
    nanos.set(Duration.ofSeconds(60).toNanos());
    assertThat(saved.isUnpaid()).isTrue();
  }

  @Test
  void thePaidTimeCountsBeforeItIsWritten() {
    SavedSandbox saved = begun();

    saved.paid(Duration.ofSeconds(90));

    assertThat(saved.left()).isEqualTo(Duration.ofSeconds(90));
    assertThat(read().left()).isEqualTo(Duration.ofSeconds(60));
    saved.write();
    assertThat(read().left()).isEqualTo(Duration.ofSeconds(90));
  }
}
