package dev.sandkeeper.bench;

import java.util.List;
import java.util.stream.Collectors;

/** Every row there is, in the order in which they are run. */
final class Rows {
  private static final List<Row> ALL =
      List.of(
          new CreateCold(),
          new ExecTrue(),
          new CodeWarm(),
          new StreamStdout(),
          new SlowReaderMemory(),
          new ServeStart());

  private Rows() {}

  /**
   * Returns the rows with these names, in their usual order.
   *
   * @param names empty for all
   * @throws BenchException when a name is of no row
   */
  static List<Row> select(List<String> names) {
    for (String name : names) {
      if (ALL.stream().noneMatch(row -> row.spec().name().equals(name))) {
        throw new BenchException(
            "--only: there is no row '"
                + name
                + "' (expected: "
                + ALL.stream().map(row -> row.spec().name()).collect(Collectors.joining(", "))
                + ")");
      }
    }
    return names.isEmpty()
        ? ALL
        : ALL.stream().filter(row -> names.contains(row.spec().name())).toList();
  }
}
