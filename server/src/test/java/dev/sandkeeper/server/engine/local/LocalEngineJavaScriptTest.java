package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineExecution;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.Stdio;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** JavaScript code in the context of a real sandbox. */
class LocalEngineJavaScriptTest extends CellsOfOneLanguage {

  private static final int SIGINT = 2;
  private static final int SIGKILL = 9;

  LocalEngineJavaScriptTest() {
    super(Language.JAVASCRIPT);
  }

  @Test
  void declarationsOfEveryKindSurviveAndTheLastValueIsTheResult() throws Exception {
    Recording recording =
        run(
            "const a1 = 1; let b1 = 2; var c1 = 3; function f1() { return a1 + b1 + c1 }"
                + " class D1 { e() { return f1() } }");
    assertThat(recording.results()).isEmpty();
    recording = run("console.log('seen'); b1 = 20\nnew D1().e()");

    assertThat(recording.stdout()).isEqualTo("seen\n");
    assertThat(recording.results()).isEqualTo(Map.of("text/plain", "24"));
    ExecutionEnd end = recording.await();
    assertThat(end.exitCode()).hasValue(0);
    assertThat(end.cpuMicros().getAsLong()).isPositive();
    assertThat(end.peakMemoryBytes().getAsLong()).isGreaterThan(10_000_000);
  }

  @Test
  void declarationsMayBeMadeAgain() throws Exception {
    for (int i = 0; i < 3; i++) {
      assertThat(
              result(
                  "const again = %d; let more = 1; class Same {}; function twice() { return 2 }\nagain"
                      .formatted(i)))
          .isEqualTo(Integer.toString(i));
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "1 + 1 // and so on              | 2",
        "'text'                          | 'text'",
        "'use strict'                    | 'use strict'",
        "{ a: 1, b: [1, { c: null }] }   | { a: 1, b: [ 1, { c: null } ] }",
        "let q = 1; { q }                | \"\"",
        "[1, 2].map(x => x * 2);         | [ 2, 4 ]",
        "10n ** 20n                      | 100000000000000000000n",
        "new Map([['k', new Set([1])]])  | Map(1) { 'k' => Set(1) { 1 } }",
        "undefined                       | \"\"",
        "null                            | null",
        "z1 = 5                          | 5",
        "if (true) 5                     | \"\"",
        "async () => 1                   | [AsyncFunction (anonymous)]",
        "// nothing                      | \"\"",
        "await Promise.resolve(7)        | 7",
        "Promise.resolve(8)              | 8",
        "(async () => 9)()               | 9",
        "typeof await import('node:fs')  | 'object'",
        "require('path').join('a', 'b')  | 'a/b'",
        "require.main === module         | true",
        "__dirname                       | '/home/user'",
        "import.meta.url                 | 'file:///home/user/cell.js'",
        "process.argv.length             | 2",
        "process.cwd()                   | '/home/user'",
        "process.env.OF_SANDBOX          | 'yes'",
        "'import(\"x\") is text'         | 'import(\"x\") is text'",
      })
  void resultIsTheValueOfTheLastExpression(String source, String expected) throws Exception {
    String value = result(source);
    assertThat(value).isEqualTo(expected);
  }

  @Test
  void valuesShowThemselvesAsInNotebooks() throws Exception {
    Recording recording =
        run(
            """
            const shown = {
              [Symbol.for('Jupyter.display')]: () => ({
                'text/plain': 'not this',
                'text/html': '<b>ü</b>',
                'application/json': { n: [1, null] },
                'image/png': Buffer.from('PNG').toString('base64'),
                'application/pdf': new Uint8Array([37, 80]),
                'nothing/given': undefined,
                'no type': 'x',
              }),
            };
            shown
            """);

    assertThat(recording.errors()).isEmpty();
    assertThat(recording.results())
        .containsOnlyKeys(
            "text/plain", "text/html", "application/json", "image/png", "application/pdf")
        .containsEntry("text/html", "<b>ü</b>")
        .containsEntry("application/json", "{\"n\":[1,null]}")
        .containsEntry("image/png", "PNG")
        .containsEntry("application/pdf", "%P");
    assertThat(recording.results().get("text/plain")).startsWith("{");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "throw new Error()",
        "return null",
        "return 5",
        "return { get 'text/html'() { throw 1 } }",
        "const all = {}; all.all = all; return { 'a/b': all }",
        "return { 'a/b': 1n }",
        "return { 'image/png': Object.create(Uint8Array.prototype) }"
      })
  void whatGoesWrongInShowingLeavesTheText(String body) throws Exception {
    Recording recording = run("({ [Symbol.for('Jupyter.display')]() { %s } })".formatted(body));

    assertThat(recording.errors()).isEmpty();
    assertThat(recording.results()).containsOnlyKeys("text/plain");
  }

  @Test
  void displayShowsAtOnceAndWithinBounds() throws Exception {
    Recording two = run("display(1, 'two'); undefined");
    assertThat(two.results()).containsEntry("text/plain", "'two'");
    // Started, and two results.
    assertThat(two.told()).isEqualTo(3);

    Recording large =
        run(
            "display({ [Symbol.for('Jupyter.display')]: () =>"
                + " ({ 'image/png': Buffer.alloc(2e6), 'text/html': 'small' }) })");
    assertThat(large.results()).containsOnlyKeys("text/plain", "text/html");
    assertThat(large.stderr()).contains("image/png is left out", "2000000 bytes");

    Recording many = run("for (let i = 0; i < 200; i++) display(i); var kept = 3");
    assertThat(many.stderr()).containsOnlyOnce("at most 64");
    assertThat(run("kept").results()).containsEntry("text/plain", "3");
  }

  @Test
  void importStatementsWorkAndKeepTheLineNumbers() throws Exception {
    run(
        "require('fs').writeFileSync('mod.mjs', 'export default 1; export const two = 2;');"
            + "require('fs').writeFileSync('data.json', '{\"k\": [3]}')");

    CodeError error =
        error(
            """
            import fs, { existsSync as has } from 'node:fs'
            import * as os from 'os'; import 'url'
            import one, {
              two
            } from './mod.mjs'
            import data from './data.json' with { type: 'json' }
            if (!has('/usr') || fs.constants === undefined || one + two + data.k[0] !== 6) throw 1
            throw new Error(typeof os.cpus)
            """);

    assertThat(error.value()).isEqualTo("function");
    assertThat(error.traceback()).containsPattern("at cell-\\d+:8$");
    assertThat(result("one + two + typeof os.EOL")).isEqualTo("'3string'");
  }

  @Test
  void awaitedTimersAndPromisesAreWaitedForAndOthersAreNot() throws Exception {
    Recording recording =
        run(
            "setTimeout(() => { globalThis.later = true }, 50);"
                + "await new Promise(done => setTimeout(done, 5)); console.log('waited')");
    assertThat(recording.stdout()).isEqualTo("waited\n");

    await().until(() -> result("globalThis.later").equals("true"));
  }

  @Test
  void streamsAreApartAndUnicodePasses() throws Exception {
    Recording recording =
        run("const größe = '漢字 🎉'; console.log(größe); console.error('ü')\ngröße");

    assertThat(recording.stdout()).isEqualTo("漢字 🎉\n");
    assertThat(recording.stderr()).isEqualTo("ü\n");
    assertThat(recording.results()).containsEntry("text/plain", "'漢字 🎉'");
  }

  @Test
  void errorHasNameValueAndTheUsersFramesAlone() throws Exception {
    Recording recording =
        run(
            """
            function f() { null.x }
            async function g() { await 1; f() }
            console.log('before')
            await g()
            """);

    CodeError error = recording.errors().getFirst();
    assertThat(error.name()).isEqualTo("TypeError");
    assertThat(error.value()).contains("Cannot read properties of null");
    assertThat(error.traceback())
        .containsPattern("at f \\(cell-\\d+:1\\)\n    at g \\(cell-\\d+:2\\)")
        .containsPattern("at async cell-\\d+:4")
        .doesNotContain("sandkeeper", "node:");
    assertThat(recording.stdout()).isEqualTo("before\n");
    assertThat(recording.await().reason()).isEqualTo(Reason.COMPLETED);
  }

  @Test
  void stackTracesThatCodePrintsHoldItsOwnFramesAlone() throws Exception {
    assertThat(run("console.error(new Error('shown'))").stderr())
        .matches("Error: shown\n    at cell-\\d+:1\n");
  }

  @Test
  void causesAndPropertiesOfAnErrorAreTold() throws Exception {
    CodeError error =
        error(
            "class Mine extends Error {}\n"
                + "throw Object.assign(new Mine('outer', { cause: new RangeError('inner') }), { code: 7 })");

    assertThat(error.name()).isEqualTo("Mine");
    assertThat(error.traceback()).contains("outer", "code: 7", "[cause]: RangeError: inner");
  }

  @Test
  void syntaxErrorShowsThePlace() throws Exception {
    CodeError error = error("let fine = 1\nlet = ;");

    assertThat(error.name()).isEqualTo("SyntaxError");
    assertThat(error.value()).isEqualTo("Unexpected token ';'");
    assertThat(error.traceback())
        .matches("cell-\\d+:2\nlet = ;\n {6}\\^\nSyntaxError: Unexpected token ';'");
    assertThat(run("fine").errors().getFirst().name()).isEqualTo("ReferenceError");
    assertThat(error("`never closed\n").name()).isEqualTo("SyntaxError");
    assertThat(error("JSON.parse('{')").traceback()).contains("at JSON.parse");
  }

  @ParameterizedTest
  @CsvSource({
    "throw 5, number, 5",
    "throw null, object, null",
    "throw undefined, undefined, undefined",
    "throw { a: 1 }, Object, { a: 1 }",
    "throw Object.create(null), Error, (its message could not be made)",
    "'throw new Proxy({}, { get() { throw 5 } })', Error, (its message could not be made)",
  })
  void anythingThatIsThrownIsAnError(String source, String name, String value) throws Exception {
    CodeError error = error(source);

    assertThat(error.name()).isEqualTo(name);
    assertThat(error.value()).isEqualTo(value);
  }

  @Test
  void errorsNobodyWaitsForAreToldAndEndNothing() throws Exception {
    Recording recording = run("Promise.reject(new Error('left alone')); 1");
    assertThat(recording.stderr()).contains("Unhandled rejection: Error: left alone");
    assertThat(recording.results()).containsEntry("text/plain", "1");
    assertThat(recording.await().exitCode()).hasValue(0);

    recording =
        run(
            "setTimeout(() => { throw new Error('of a timer') });"
                + "await new Promise(done => setTimeout(done, 20))");
    assertThat(recording.stderr()).contains("Uncaught: Error: of a timer");
    assertThat(recording.await().exitCode()).hasValue(0);
  }

  @Test
  void errorBetweenTwoRunsIsToldInTheNext() throws Exception {
    run("globalThis.thrown = 0; setTimeout(() => { thrown = 1; throw new Error('in between') })");

    await()
        .until(() -> {
          Recording recording = run("thrown");
          return recording.stderr().contains("in between");
        });
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "process.exit(5)",
        "(async () => { try { await 1; throw new Error() } catch { process.exit(5) } })()",
        "setTimeout(() => process.exit(5)); await new Promise(() => {})",
        "process.exitCode = 5",
      })
  void exitEndsTheRunButNotTheContext(String source) throws Exception {
    run("var beforeExit = 1");
    Recording recording = run(source);

    assertThat(recording.await().exitCode()).hasValue(5);
    assertThat(recording.errors()).isEmpty();
    assertThat(result("beforeExit")).isEqualTo("1");
  }

  @Test
  void hugeResultsAndErrorsAreCut() throws Exception {
    assertThat(result("'y'.repeat(10_000_000)")).hasSizeBetween(1_000, 1_000_000);
    assertThat(result("'🎉'.repeat(1_000_000)")).hasSizeBetween(1_000, 1_000_000);
    assertThat(result("Array.from({ length: 2e5 }, (_, i) => ({ i }))"))
        .hasSizeBetween(1_000, 1_000_000);
    CodeError error = error("throw new Error('x'.repeat(2_000_000))");
    assertThat(error.value().length()).isLessThan(20_000);
    assertThat(error.traceback().length()).isLessThan(70_000);
  }

  @Test
  void muchOutputArrivesWholeAndBeforeTheResult() throws Exception {
    Recording recording =
        run("process.stdout.write('z'.repeat(20_000_000)); console.log('end'); 1");

    assertThat(recording.stdoutBytes()).hasSize(20_000_004);
    assertThat(recording.stdout()).endsWith("zend\n");
    assertThat(recording.results()).containsEntry("text/plain", "1");
  }

  /** The most that the service takes. */
  @Test
  void codeOfTenMegabytesRuns() throws Exception {
    assertThat(run("// " + "x".repeat(10 << 20) + "\nconsole.log('end')").stdout())
        .isEqualTo("end\n");
  }

  @Test
  void childrenOfTheCodePrintToTheSameStreams() throws Exception {
    assertThat(
            run("require('child_process').execSync('echo from a child', { stdio: 'inherit' }); 1")
                .stdout())
        .isEqualTo("from a child\n");
  }

  @Test
  void standardInputIsAtItsEnd() throws Exception {
    assertThat(result("require('fs').readFileSync(0).length")).isEqualTo("0");
  }

  @Test
  void codeRunsAsTheUserWithoutAnyRight() throws Exception {
    assertThat(
            result(
                "[process.getuid(), process.geteuid(), process.getgid(), process.getgroups().join(),"
                    + " require('fs').readFileSync('/proc/self/status', 'utf8')"
                    + ".match(/^Cap(Inh|Prm|Eff|Amb):\\t0{16}$/gm).length].join()"))
        .isEqualTo("'1000,1000,1000,1000,4'");
    assertThat(result("require('fs').existsSync('/proc/1')")).isEqualTo("false");
    assertThat(
            result(
                "require('fs').readdirSync('/proc/self/fd')"
                    + ".map(fd => { try { return require('fs').readlinkSync('/proc/self/fd/' + fd) }"
                    + " catch { return '' } })"
                    + ".filter(name => name.startsWith('/') && !/^\\/(dev\\/null|proc)/.test(name)).length"))
        .isEqualTo("0");
  }

  @Test
  void runsComeOneAfterTheOther() throws Exception {
    Recording first =
        start(
            sandbox,
            "globalThis.order = ['a']; await new Promise(done => setTimeout(done, 200)); order.push('b')",
            LONG);
    first.awaitStarted();
    Recording second = start(sandbox, "order", LONG);

    first.await();
    second.await();
    assertThat(second.results()).containsEntry("text/plain", "[ 'a', 'b' ]");
  }

  @Test
  void contextsOfTwoLanguagesRunAtOnce() throws Exception {
    Recording waiting = start(sandbox, "await new Promise(done => { globalThis.go = done })", LONG);
    waiting.awaitStarted();

    assertThat(EngineFixture.run(sandbox, EngineFixture.python("1 + 1")).results())
        .containsEntry("text/plain", "2");

    assertThat(waiting.isFinished()).isFalse();
    EngineFixture.run(sandbox, EngineFixture.bash("pkill -INT -x node"));
    assertThat(waiting.await().exitCode()).hasValue(1);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "console.log('up'); while (true);",
        "console.log('up'); await new Promise(() => {})"
      })
  void interruptIsAnErrorAndKeepsTheVariables(String source) throws Exception {
    run("var beforeInterrupt = 2");
    Recording recording = new Recording();
    EngineExecution execution =
        sandbox.start(EngineFixture.of(EngineFixture.javaScript(source), LONG, ""), recording);
    await().until(() -> recording.stdout().equals("up\n"));

    execution.signal(SIGINT);

    recording.await();
    assertThat(recording.errors().getFirst().name()).isEqualTo("Interrupted");
    assertThat(result("beforeInterrupt")).isEqualTo("2");
  }

  @ParameterizedTest
  @ValueSource(strings = {"while (true);", "await 1; while (true);", "await new Promise(() => {})"})
  void deadlineEndsTheContextWithAllItStartedAndTheNextRunGetsAFreshOne(String source)
      throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      run(other.sandbox(), "var lost = 1");
      Recording recording =
          EngineFixture.run(
              other.sandbox(),
              EngineFixture.of(
                  EngineFixture.javaScript(
                      "process.on('SIGTERM', () => {}); require('child_process')"
                          + ".spawn('setsid', ['sleep', '305'], { detached: true });"
                          + source),
                  Duration.ofMillis(800),
                  ""));

      assertThat(recording.await().reason()).isEqualTo(Reason.DEADLINE);
      assertThat(run(other.sandbox(), "lost").errors().getFirst().name())
          .isEqualTo("ReferenceError");
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.bash("pgrep -x sleep")).stdout())
          .isEmpty();
    }
  }

  @Test
  void memoryBombIsToldAsSuch() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Recording recording =
          run(other.sandbox(), "const all = []; while (true) all.push(Buffer.alloc(1 << 20, 1))");

      assertThat(recording.await().reason()).isEqualTo(Reason.OUT_OF_MEMORY);
      assertThat(run(other.sandbox(), "3").results()).containsEntry("text/plain", "3");
    }
  }

  @Test
  void garbageIsCollectedBeforeTheSandboxIsFull() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Recording recording =
          run(
              other.sandbox(),
              "let kept; for (let i = 0; i < 100; i++) kept = Array.from({ length: 1e5 }, () => ({ i }));"
                  + " kept.length");

      assertThat(recording.results()).containsEntry("text/plain", "100000");
    }
  }

  /** What ends the process is told as it is, and costs the variables and no more. */
  @ParameterizedTest
  @CsvSource({
    "process.reallyExit(9), 9, ",
    "'process.kill(process.pid, 9); await new Promise(() => {})', , 9",
    "process.abort(), , 6",
  })
  void processThatEndsItselfIsTold(String source, Integer exitCode, Integer signal)
      throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      ExecutionEnd end = run(other.sandbox(), source).await();

      assertThat(end.exitCode().isPresent() ? end.exitCode().getAsInt() : null).isEqualTo(exitCode);
      assertThat(end.signal().isPresent() ? end.signal().getAsInt() : null).isEqualTo(signal);
      assertThat(run(other.sandbox(), "1 + 1").results()).containsEntry("text/plain", "2");
    }
  }

  /**
   * Whatever code does to the process it runs in, its own end and that of the next run are told
   * within their deadlines, other languages are as before, and a new process works.
   */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "Object.prototype.toJSON = () => 5",
        "Object.prototype.type = 36; Object.prototype[0] = 1; Object.prototype.get = () => 1",
        "Array.prototype.push = () => { throw new Error() }; Array.prototype.forEach = null",
        "Array.prototype[Symbol.iterator] = null",
        "String.prototype.slice = String.prototype.split = null; RegExp.prototype.exec = null",
        "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = null",
        "Promise.prototype.then = null; Promise.prototype.constructor = null",
        "Buffer.from = Buffer.concat = Buffer.alloc = null",
        "for (const name of ['JSON', 'Promise', 'console', 'Object', 'Array', 'Math', 'Error'])"
            + " globalThis[name] = null",
        "Error.prepareStackTrace = () => { throw 1 }; throw new Error()",
        "process.removeAllListeners()",
        "process.stdout.destroy(); process.stderr.destroy()",
        "require('net').Socket.prototype.write = () => {}",
        "require('inspector').Session.prototype.post = () => {}",
        "const { Session } = require('inspector'); const s = new Session(); s.connect();"
            + " s.post('Debugger.enable'); s.post('Debugger.pause'); 1",
        "require('fs').closeSync(0)",
        "require('fs').closeSync(1); console.log('x')",
        "require('fs').closeSync(3)",
        "require('fs').writeSync(3, Buffer.alloc(100_000, 255))",
        "require('fs').writeSync(3, Buffer.from([0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3]))",
        "try { while (true) require('fs').writeSync(3,"
            + " Buffer.concat([Buffer.from([0, 15, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(15 << 16)]))"
            + " } catch {}",
        "process._getActiveHandles().forEach(handle => handle.unref?.())",
        "process.exit = null; process.reallyExit = null",
        "setInterval(() => { throw new Error('again') })",
        "setTimeout(() => { while (true); })",
        "process.kill(-1, 'SIGSTOP'); 1",
        "process.kill(process.pid, 'SIGSTOP'); 1",
      })
  void hostileCodeBreaksItsOwnContextAtMost(String source) throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Duration deadline = Duration.ofSeconds(3);
      for (String code : new String[] {source, "1 + 1"}) {
        EngineFixture.run(
                other.sandbox(), EngineFixture.of(EngineFixture.javaScript(code), deadline, ""))
            .await();
      }

      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.python("3")).results())
          .containsEntry("text/plain", "3");
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.bash("echo on")).stdout())
          .isEqualTo("on\n");
      EngineFixture.run(other.sandbox(), EngineFixture.bash("pkill -9 -x node"));
      // The next run may meet the process that ends.
      await().until(() -> run(other.sandbox(), "'new'").results().containsValue("'new'"));
    }
  }

  @Test
  void folderEnvironmentAndInputAreRefused() {
    for (ExecutionSpec spec :
        List.of(
            spec(Optional.of("/tmp"), Map.of(), ""),
            spec(Optional.empty(), Map.of("A", "b"), ""),
            spec(Optional.empty(), Map.of(), "input"))) {
      assertThatThrownBy(() -> sandbox.start(spec, new Recording()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("expected: none");
    }
  }

  private static ExecutionSpec spec(
      Optional<String> folder, Map<String, String> environment, String stdin) {
    return new ExecutionSpec(
        new ExecutionId(EngineFixture.name()),
        EngineFixture.javaScript("1"),
        folder,
        environment,
        Stdio.of(stdin.getBytes(StandardCharsets.UTF_8)),
        LONG);
  }

  @Test
  void killedContextIsReplaced() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      run(other.sandbox(), "1");
      Recording recording = start(other.sandbox(), "console.log('up'); while (true);", LONG);
      await().until(() -> recording.stdout().equals("up\n"));

      EngineFixture.run(other.sandbox(), EngineFixture.bash("pkill -9 -x node"));

      assertThat(recording.await().signal()).hasValue(SIGKILL);
      assertThat(run(other.sandbox(), "2").results()).containsEntry("text/plain", "2");
    }
  }

  @Test
  void withoutNodeThereIsNoJavaScript() throws Exception {
    LocalEngineSettings usual = fixture.settings();
    LocalEngineSettings settings =
        new LocalEngineSettings(
            usual.stateFolder().resolveSibling("n"),
            usual.runtime(),
            usual.otherRuntimes(),
            "/no/such/node",
            "/no/such/java",
            "/no/such/R",
            usual.cgroupRoot(),
            usual.cgroupParent(),
            usual.startTimeout(),
            usual.sampleInterval());
    try (LocalEngine engine = new LocalEngine(settings)) {
      EngineSandbox without = engine.create(EngineFixture.spec());
      try {
        assertThat(without.languages()).containsExactlyInAnyOrder(Language.PYTHON, Language.BASH);
        assertThat(without.contexts().list())
            .containsExactly(EngineContext.byDefault(Language.PYTHON));
        assertThatThrownBy(() -> run(without, "1"))
            .isInstanceOf(EngineException.class)
            .hasMessageContaining("no context javascript of JAVASCRIPT");
      } finally {
        without.destroy(Duration.ZERO);
      }
    }
  }

  @Test
  void programOutsideTheSharedFolderIsNotOffered() {
    assertThat(Programs.findShared("/etc/passwd")).isEmpty();
    assertThat(Programs.findShared("no-such-program")).isEmpty();
    assertThat(Programs.findShared("env").orElseThrow()).isExecutable();
  }
}
