package dev.sandkeeper.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

// Goal: what an operator is told when there is nothing to measure. That figures are taken, the
// continuous integration sees by running the program.
final class BenchTest {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private final ByteArrayOutputStream err = new ByteArrayOutputStream();
  @TempDir private Path folder;

  @Test
  void wrongArgumentsAreOneLineAndTwo() {
    assertThat(
            run(
                "--only",
                "exec_flase",
                "--data",
                "d",
                "--log",
                "l",
                "--e2b-peer",
                "p",
                "--",
                "java"))
        .isEqualTo(2);
    assertThat(err.toString(StandardCharsets.UTF_8))
        .startsWith("bench: --only: there is no row 'exec_flase'")
        .hasLineCount(1);
    assertThat(out.size()).isZero();
  }

  @Test
  void aServerThatDoesNotStartIsTold() {
    Path log = folder.resolve("log");
    assertThat(
            run(
                "--data",
                folder.toString(),
                "--log",
                log.toString(),
                "--e2b-peer",
                "none",
                "--",
                "sh",
                "-c",
                "echo no database; exit 1"))
        .isEqualTo(1);
    assertThat(err.toString(StandardCharsets.UTF_8))
        .isEqualTo("bench: the server did not start; its log " + log + " ends: no database\n");
  }

  private int run(String... arguments) {
    return Bench.run(printTo(out), printTo(err), arguments);
  }

  private static PrintStream printTo(ByteArrayOutputStream bytes) {
    return new PrintStream(bytes, true, StandardCharsets.UTF_8);
  }
}
