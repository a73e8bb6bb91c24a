package dev.sandkeeper.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

final class ReportTest {
  private static final List<Result> RESULTS =
      List.of(
          new Result(
              new Row.Spec("exec_true", "ms", Better.LOWER, Floor.ratio(0.25), 0, 1),
              new Percentiles(2.5, 3.25, 12.3456789, 200),
              Optional.of(new Percentiles(10, 11, 12, 200))),
          new Result(
              new Row.Spec("stream_stdout", "MB/s", Better.HIGHER, Floor.ratio(0.15), 0, 1),
              new Percentiles(200, 190, 180, 42),
              Optional.of(new Percentiles(2000, 1900, 1800, 42))),
          new Result(
              new Row.Spec("code_warm", "ms", Better.LOWER, Floor.p50(2), 0, 1),
              new Percentiles(2, 3, 4, 200),
              Optional.empty()));

  @Test
  void theTableSaysWhatWasMeasuredAndWhatHolds() {
    assertThat(String.join("\n", Report.table(RESULTS)) + "\n")
        .isEqualTo(
            """
            name           unit    p50    p95    p99    n  raw p50  ratio  floor
            exec_true      ms    2.500  3.250   12.3  200     10.0  0.250  ratio at most 0.25   met
            stream_stdout  MB/s  200.0  190.0  180.0   42     2000  0.100  ratio at least 0.15  MISSED
            code_warm      ms    2.000  3.000  4.000  200        -      -  p50 at most 2        met
            """);
  }

  @Test
  void theJsonHasWhatTheTableHasButFloors() throws Exception {
    assertThat(Report.json(RESULTS.subList(0, 1)))
        .isEqualTo(
            """
            [ {
              "name" : "exec_true",
              "unit" : "ms",
              "p50" : 2.5,
              "p95" : 3.25,
              "p99" : 12.3457,
              "n" : 200,
              "raw_p50" : 10.0,
              "ratio" : 0.25
            } ]
            """);
  }

  @Test
  void withoutARawPrimitiveTheJsonHasNulls() throws Exception {
    assertThat(Report.json(RESULTS.subList(2, 3)))
        .contains("\"raw_p50\" : null", "\"ratio\" : null");
  }
}
