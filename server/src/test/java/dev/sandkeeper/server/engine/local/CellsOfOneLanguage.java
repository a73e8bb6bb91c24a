package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.time.Duration;

/**
 * What the tests of a language have in common: a sandbox of theirs, and code in its default
 * context.
 */
abstract class CellsOfOneLanguage {
  static final Duration LONG = Duration.ofSeconds(60);

  static EngineFixture fixture;
  static EngineSandbox sandbox;

  private final Language language;

  CellsOfOneLanguage(Language language) {
    this.language = language;
  }

  Recording run(String source) throws Exception {
    return run(sandbox, source);
  }

  Recording run(EngineSandbox where, String source) throws Exception {
    Recording recording = start(where, source, LONG);
    recording.await();
    return recording;
  }

  /** Returns the text of what the code gives, empty when it gives nothing. */
  String result(String source) throws Exception {
    Recording recording = run(source);
    assertThat(recording.errors()).isEmpty();
    return recording.results().getOrDefault("text/plain", "");
  }

  CodeError error(String source) throws Exception {
    Recording recording = run(source);
    assertThat(recording.await().exitCode()).hasValue(1);
    return recording.errors().getFirst();
  }

  Recording start(EngineSandbox where, String source, Duration deadline) {
    Recording recording = new Recording();
    EngineExecution ignored =
        where.start(
            EngineFixture.of(EngineFixture.code(language, source), deadline, ""), recording);
    return recording;
  }
}
