package dev.sandkeeper.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class OptionsTest {

  @Test
  void everyOptionIsRead() {
    assertThat(
            Options.parse(
                words(
                    "--only a,b --samples 3 --check --json r.json --data d --log l --e2b-peer p -- java -cp x Main")))
        .isEqualTo(
            new Options(
                List.of("a", "b"),
                OptionalInt.of(3),
                true,
                Optional.of(Path.of("r.json")),
                Path.of("d"),
                Path.of("l"),
                Path.of("p"),
                List.of("java", "-cp", "x", "Main")));
  }

  @Test
  void onlyFolderAndServerMustBeGiven() {
    assertThat(Options.parse(words("--data d --log l --e2b-peer p -- java")))
        .isEqualTo(
            new Options(
                List.of(),
                OptionalInt.empty(),
                false,
                Optional.empty(),
                Path.of("d"),
                Path.of("l"),
                Path.of("p"),
                List.of("java")));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          --samples 0 --data d --log l --e2b-peer p -- java    | --samples: 0 (expected: a number from 1 to 100000)
          --samples 1e3 --data d --log l --e2b-peer p -- java  | --samples: 1e3 (expected: a number from 1 to 100000)
          --samples 100001 -- java                | --samples: 100001 (expected: a number from 1 to 100000)
          --samples -- java                       | --samples needs a number
          --only                                  | --only needs names of rows
          --fast --data d --log l --e2b-peer p -- java         | unknown option --fast (see --help)
          exec_true                               | unknown option exec_true (see --help)
          --data d                                | the server's command is missing behind --
          --data d --log l --e2b-peer p --                     | --data, --log, --e2b-peer and the server's command are needed
          --data d -- java                        | --data, --log, --e2b-peer and the server's command are needed
          --log l -- java                         | --data, --log, --e2b-peer and the server's command are needed
          """)
  void whatIsNotUnderstoodIsNamed(String line, String message) {
    assertThatExceptionOfType(BenchException.class)
        .isThrownBy(() -> Options.parse(words(line)))
        .withMessage(message);
  }

  private static String[] words(String line) {
    return line.split(" ", -1);
  }
}
