package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Recording;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What TypeScript code has in a real sandbox beyond JavaScript, whose process it shares. */
class LocalEngineTypeScriptTest extends CellsOfOneLanguage {
  private static final int SIGINT = 2;

  LocalEngineTypeScriptTest() {
    super(Language.TYPESCRIPT);
  }

  @Test
  void codeTooDeepForTheModuleIsAnError() throws Exception {
    run("let kept: number = 4");

    CodeError error = error("let deep: number = " + "(".repeat(20_000) + "1" + ")".repeat(20_000));

    assertThat(error.name()).isIn("RangeError", "SyntaxError");
    assertThat(result("kept + 1")).isEqualTo("5");
  }

  @Test
  void declarationsSurviveAndTheLastValueIsTheResult() throws Exception {
    run(
        """
        interface Point { x: number; y?: number }
        const origin: Point = { x: 1 };
        let many: Array<Point> = [origin];
        function sum<T extends Point>(points: T[]): number {
          return points.reduce((all: number, point: T) => all + point.x, 0);
        }
        class Named { constructor(private readonly name: string) {} get(): string { return this.name } }
        enum Colour { RED, BLUE = 7 }
        """);
    Recording recording =
        run("console.log(new Named('n').get(), Colour[7]);\nsum(many) + Colour.BLUE");

    assertThat(recording.stdout()).isEqualTo("n BLUE\n");
    assertThat(recording.results()).containsEntry("text/plain", "8");
    ExecutionEnd end = recording.await();
    assertThat(end.exitCode()).hasValue(0);
    assertThat(end.cpuMicros().getAsLong()).isPositive();
    assertThat(end.peakMemoryBytes().getAsLong()).isGreaterThan(10_000_000);
  }

  @Test
  void declarationsMayBeMadeAgain() throws Exception {
    for (int i = 0; i < 3; i++) {
      assertThat(result("const again: number = %d; enum Same { A }; again".formatted(i)))
          .isEqualTo(Integer.toString(i));
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "1 + 1 // and so on                     | 2",
        "'use strict'                           | 'use strict'",
        "5 as unknown as string                 | 5",
        "{ a: 1, b: [1] as number[] }           | { a: 1, b: [ 1 ] }",
        "{ let q: number = 1; }                 | \"\"",
        "type Only = string                     | \"\"",
        "// nothing                             | \"\"",
        "await Promise.resolve<number>(7)       | 7",
        "(<T,>(x: T): T => x)(5)                | 5",
        "typeof await import('node:fs')         | 'object'",
        "require('path').join('a', 'b')         | 'a/b'",
        "null!                                  | null",
      })
  void resultIsTheValueOfTheLastExpression(String source, String expected) throws Exception {
    assertThat(result(source)).isEqualTo(expected);
  }

  @Test
  void importsAreThereForTheNextCellAndThoseOfTypesAreNot() throws Exception {
    run(
        """
        import os, { EOL as end } from 'node:os'
        import type { Stats } from 'node:fs'
        export {}
        """);

    assertThat(result("typeof os.cpus + end")).isEqualTo("'function\\n'");
  }

  @Test
  void tracebacksShowTheLinesOfTheSource() throws Exception {
    CodeError error =
        error(
            """
            interface Gone {
              x: number
            }

            type Also = Gone
            function deep(value: any): number { return value.a.b }
            async function outer(
              value: Gone,
            ): Promise<void> { await 1; deep(value) }

            await outer(
              { x: 1 },
            )
            """);

    assertThat(error.name()).isEqualTo("TypeError");
    assertThat(error.traceback())
        .containsPattern("at deep \\(cell-\\d+:6\\)\n    at outer \\(cell-\\d+:9\\)")
        .containsPattern("at async cell-\\d+:1[12]$")
        .doesNotContain("sandkeeper", "node:");
    assertThat(error("\n\ndeep(\n  null as any,\n)").traceback()).containsPattern("cell-\\d+:3$");
  }

  @Test
  void syntaxErrorShowsThePlaceAndNothingRan() throws Exception {
    CodeError error = error("globalThis.ran = 1\nlet = ;");

    assertThat(error.name()).isEqualTo("SyntaxError");
    assertThat(error.value()).startsWith("Expression expected");
    assertThat(error.traceback())
        .containsPattern("^cell-\\d+:2\n")
        .contains("let = ;\n      ^\nSyntaxError: Expression expected");
    assertThat(result("globalThis.ran")).isEmpty();
    assertThat(error("`never closed\n").name()).isEqualTo("SyntaxError");
    assertThat(error("let z1: number = 1; let z1 = 2").value()).contains("already been declared");
  }

  @Test
  void typesAreNotChecked() throws Exception {
    assertThat(result("const wrong: number = 'text'; wrong")).isEqualTo("'text'");
  }

  @Test
  void sourceOfMoreThanOneMebibyteIsAnError() throws Exception {
    assertThat(error("//" + "x".repeat(1 << 20)).name()).isEqualTo("RangeError");
    assertThat(result("//" + "x".repeat(1_000_000) + "\n3 as number")).isEqualTo("3");
  }

  @Test
  void contextIsApartFromTheOneOfJavaScript() throws Exception {
    run("var shared: number = 1");

    assertThat(
            EngineFixture.run(sandbox, EngineFixture.javaScript("typeof shared"))
                .results()
                .get("text/plain"))
        .isEqualTo("'undefined'");
    assertThat(sandbox.contexts().list())
        .contains(
            EngineContext.byDefault(Language.JAVASCRIPT),
            EngineContext.byDefault(Language.TYPESCRIPT));
  }

  @ParameterizedTest
  @ValueSource(strings = {"while (true);", "await new Promise(() => {})"})
  void interruptEndsTheRunAndKeepsTheVariables(String source) throws Exception {
    run("var beforeInterrupt: number = 2");
    Recording recording = new Recording();
    EngineExecution execution =
        sandbox.start(
            EngineFixture.of(
                EngineFixture.code(Language.TYPESCRIPT, "console.log('up');" + source),
                Duration.ofSeconds(30),
                ""),
            recording);
    await().until(() -> recording.stdout().equals("up\n"));

    execution.signal(SIGINT);

    recording.await();
    assertThat(recording.errors().getFirst().name()).isEqualTo("Interrupted");
    assertThat(result("beforeInterrupt")).isEqualTo("2");
  }

  /** What takes the types out is out of reach, or goes down with its own context. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "Array.prototype.push = () => { throw new Error() }; Array.prototype.forEach = null as any",
        "Map.prototype.get = () => 1 as any; JSON.parse = null as any",
        "String.prototype.replace = String.prototype.split = null as any",
        "require('module').stripTypeScriptTypes = () => { throw 1 }",
        "require('fs').closeSync(3)",
        "require('fs').writeSync(3, Buffer.alloc(100_000, 255))",
        "process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})",
      })
  void hostileCodeBreaksItsOwnContextAtMost(String source) throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      for (String code : new String[] {source, "1 as number"}) {
        EngineFixture.run(
                other.sandbox(),
                EngineFixture.of(
                    EngineFixture.code(Language.TYPESCRIPT, code), Duration.ofSeconds(3), ""))
            .await();
      }

      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.javaScript("3")).results())
          .containsEntry("text/plain", "3");
      EngineFixture.run(other.sandbox(), EngineFixture.bash("pkill -9 -x node"));
      // The next run may meet the process that ends.
      await()
          .until(() ->
              EngineFixture.run(other.sandbox(), EngineFixture.code(Language.TYPESCRIPT, "'new'"))
                  .results()
                  .containsValue("'new'"));
    }
  }
}
