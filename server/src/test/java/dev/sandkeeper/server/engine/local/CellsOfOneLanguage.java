package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.SandboxSpec;
import java.time.Duration;
import java.util.Optional;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;

/**
 * What the tests of a language have in common: a sandbox of theirs, and code in its default
 * context.
 */
abstract class CellsOfOneLanguage {
  static final Duration LONG = Duration.ofSeconds(60);

  /** The least that the service gives. */
  private static final int MEMORY_MIB = 512;

  static EngineFixture fixture;
  static EngineSandbox sandbox;

  private final Language language;

  CellsOfOneLanguage(Language language) {
    this.language = language;
  }

  @BeforeAll
  static void create() throws Exception {
    fixture = new EngineFixture();
    SandboxSpec usual = EngineFixture.spec();
    sandbox =
        fixture
            .engine()
            .create(
                new SandboxSpec(
                    usual.id(),
                    1,
                    Optional.empty(),
                    Optional.empty(),
                    1,
                    MEMORY_MIB,
                    64,
                    64,
                    usual.environment(),
                    usual.imports(),
                    false,
                    usual.paid()));
  }

  @AfterAll
  static void destroy() throws Exception {
    fixture.close();
  }

  @BeforeEach
  void requireLanguage() {
    assumeThat(sandbox.languages()).as("an interpreter in /usr").contains(language);
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
