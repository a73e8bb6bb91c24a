package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Recording;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Python code in the default context of a real sandbox. */
class LocalEngineContextTest {

  private static EngineFixture fixture;
  private static EngineSandbox sandbox;

  @BeforeAll
  static void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
  }

  @AfterAll
  static void destroy() throws Exception {
    fixture.close();
  }

  private static Recording python(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.python(source));
  }

  @Test
  void syntaxErrorIsAnError() throws Exception {
    CodeError error = python("def (:").errors().getFirst();

    assertThat(error.name()).isEqualTo("SyntaxError");
    assertThat(error.traceback()).contains("def (:");
  }

  @Test
  void hugeErrorsAndResultsAreCut() throws Exception {
    CodeError error = python("raise ValueError('x' * 10_000_000)").errors().getFirst();
    assertThat(error.value().length()).isLessThan(20_000);
    assertThat(error.traceback().length()).isLessThan(70_000);

    assertThat(python("'y' * 50_000_000").results().values())
        .allSatisfy(result -> assertThat(result.length()).isBetween(1_000, 1_000_000));
  }

  @Test
  void errorThatCannotBePrintedIsStillOne() throws Exception {
    Recording recording =
        python("class E(Exception):\n  def __str__(self): raise RuntimeError()\nraise E()");

    assertThat(recording.errors().getFirst().name()).isEqualTo("E");
  }

  @Test
  void codeThatForksTellsItsEndOnce() throws Exception {
    Recording recording = python("import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n7");

    assertThat(recording.results()).containsEntry("text/plain", "7");
    assertThat(python("8").results()).containsEntry("text/plain", "8");
  }
}
