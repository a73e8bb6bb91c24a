package dev.sandkeeper.bench;

import java.util.List;
import java.util.stream.Collectors;

/** Every row there is, in the order in which they are run. */
final class Rows {
  private final List<Row> all;

  Rows(Lab lab) {
    all = List.of(new ExecTrue(lab), new CodeWarm(lab));
  }

  /**
   * Returns the rows with these names, in their usual order.
   *
   * @param names empty for all
   * @throws BenchException when a name is of no row
   */
  List<Row> select(List<String> names) {
    for (String name : names) {
      if (all.stream().noneMatch(row -> row.spec().name().equals(name))) {
        throw new BenchException(
            "--only: there is no row '"
                + name
                + "' (expected: "
                + all.stream().map(row -> row.spec().name()).collect(Collectors.joining(", "))
                + ")");
      }
    }
    return names.isEmpty()
        ? all
        : all.stream().filter(row -> names.contains(row.spec().name())).toList();
  }
}
