package dev.sandkeeper.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;

/** Results, for people and for programs. */
final class Report {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  /** More digits than any run repeats. */
  private static final MathContext PRECISION = new MathContext(6);

  private static final List<String> HEADING =
      List.of("name", "unit", "p50", "p95", "p99", "n", "raw p50", "ratio", "floor", "");

  private Report() {}

  /** Lays results out as a table, a line each below the heading. */
  static List<String> table(List<Result> results) {
    List<List<String>> rows = new ArrayList<>();
    rows.add(HEADING);
    results.forEach(result -> rows.add(row(result)));
    int[] widths = new int[HEADING.size()];
    for (List<String> row : rows) {
      for (int column = 0; column < widths.length; column++) {
        widths[column] = Math.max(widths[column], row.get(column).length());
      }
    }
    return rows.stream().map(row -> line(row, widths)).toList();
  }

  /** Writes results as a JSON array. */
  static String json(List<Result> results) throws IOException {
    ArrayNode array = JSON.createArrayNode();
    for (Result result : results) {
      ObjectNode object = array.addObject();
      object.put("name", result.spec().name());
      object.put("unit", result.spec().unit());
      object.put("p50", number(result.ours().p50()));
      object.put("p95", number(result.ours().p95()));
      object.put("p99", number(result.ours().p99()));
      object.put("n", result.ours().count());
      object.put("raw_p50", result.raw().map(raw -> number(raw.p50())).orElse(null));
      OptionalDouble ratio = result.ratio();
      object.put("ratio", ratio.isPresent() ? number(ratio.getAsDouble()) : null);
    }
    return JSON.writeValueAsString(array) + "\n";
  }

  private static double number(double value) {
    return new BigDecimal(value, PRECISION).doubleValue();
  }

  private static List<String> row(Result result) {
    OptionalDouble ratio = result.ratio();
    return List.of(
        result.spec().name(),
        result.spec().unit(),
        figure(result.ours().p50()),
        figure(result.ours().p95()),
        figure(result.ours().p99()),
        Integer.toString(result.ours().count()),
        result.raw().map(raw -> figure(raw.p50())).orElse("-"),
        ratio.isPresent() ? figure(ratio.getAsDouble()) : "-",
        floor(result.spec()),
        result.met() ? "met" : "MISSED");
  }

  /** Three digits behind the point for small values, none for large ones. */
  private static String figure(double value) {
    int decimals = Math.abs(value) < 10 ? 3 : Math.abs(value) < 1000 ? 1 : 0;
    return String.format(Locale.ROOT, "%." + decimals + "f", value);
  }

  private static String floor(Row.Spec spec) {
    String of =
        switch (spec.floor().of()) {
          case P50 -> "p50";
          case RATIO -> "ratio";
          case ADDED -> "added";
          case NONE -> "";
        };
    if (of.isEmpty()) {
      return "-";
    }
    String relation =
        switch (spec.better()) {
          case LOWER -> "at most";
          case HIGHER -> "at least";
        };
    return of
        + " "
        + relation
        + " "
        + BigDecimal.valueOf(spec.floor().bound()).stripTrailingZeros().toPlainString();
  }

  /** Words to the left, numbers to the right. */
  private static String line(List<String> cells, int[] widths) {
    StringBuilder line = new StringBuilder();
    for (int column = 0; column < widths.length; column++) {
      boolean words = column < 2 || column > 7;
      line.append(
          String.format(
              Locale.ROOT, "%" + (words ? "-" : "") + widths[column] + "s  ", cells.get(column)));
    }
    return line.toString().stripTrailing();
  }
}
