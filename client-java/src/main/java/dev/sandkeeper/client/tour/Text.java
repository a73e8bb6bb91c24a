package dev.sandkeeper.client.tour;

import com.google.protobuf.Duration;
import com.google.protobuf.Timestamp;
import java.math.BigDecimal;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** How amounts, times and tables are written. */
final class Text {
  private static final int NANO_DIGITS = 9;
  private static final DateTimeFormatter TIME =
      DateTimeFormatter.ofPattern("HH:mm:ss.SSS", Locale.ROOT).withZone(ZoneOffset.UTC);
  private static final DateTimeFormatter DATE_TIME =
      DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm 'UTC'", Locale.ROOT).withZone(ZoneOffset.UTC);

  private Text() {}

  /** Writes money exactly, such as {@code 0.000124500} for 124,500 nano-USD. */
  static String usd(long nanoUsd) {
    return BigDecimal.valueOf(nanoUsd, NANO_DIGITS).toPlainString();
  }

  /** Writes a span in seconds with three decimals. */
  static String seconds(Duration span) {
    return seconds(java.time.Duration.ofSeconds(span.getSeconds(), span.getNanos()));
  }

  /** Writes a span in seconds with three decimals. */
  static String seconds(java.time.Duration span) {
    return String.format(Locale.ROOT, "%.3f s", span.toNanos() / 1e9);
  }

  /** Writes the time of day, in UTC. */
  static String time(Timestamp time) {
    return TIME.format(instant(time));
  }

  /** Writes date and time, in UTC. */
  static String dateTime(Timestamp time) {
    return DATE_TIME.format(instant(time));
  }

  /** Writes the end of a constant's name, such as {@code day} for LIMIT_PERIOD_DAY. */
  static String word(Enum<?> constant, String prefix) {
    return constant.name().substring(prefix.length()).toLowerCase(Locale.ROOT);
  }

  /**
   * Lays out rows in columns as wide as their widest cell, two blanks apart, each line indented by
   * four.
   *
   * @param rows the rows, all with as many cells as the first, which is the heading
   */
  static List<String> table(List<List<String>> rows) {
    List<Integer> widths = new ArrayList<>();
    for (int column = 0; column < rows.get(0).size(); column++) {
      int at = column;
      widths.add(rows.stream().mapToInt(row -> row.get(at).length()).max().orElse(0));
    }
    List<String> lines = new ArrayList<>();
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder("    ");
      for (int column = 0; column < row.size(); column++) {
        String cell = row.get(column);
        line.append(cell).append(" ".repeat(widths.get(column) - cell.length() + 2));
      }
      lines.add(line.toString().stripTrailing());
    }
    return lines;
  }

  /** Turns a time into Java's own. */
  static Instant instant(Timestamp time) {
    return Instant.ofEpochSecond(time.getSeconds(), time.getNanos());
  }
}
