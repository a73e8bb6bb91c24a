package dev.sandkeeper.bench;

import dev.sandkeeper.server.ledger.LimitScope;
import java.util.List;
import java.util.stream.Collectors;

/** Every row there is, in the order in which they are run. */
final class Rows {
  private static final List<Row> ALL =
      List.of(
          new CreateCold(),
          new ExecTrue(),
          new ExecBesideSpinner(),
          new CodeWarm(),
          new CodeFresh(),
          new StreamStdout(),
          new Attach(),
          new Burst(),
          new IdleMemory(),
          FileTransfer.up(),
          FileTransfer.down(),
          new SlowReaderMemory(),
          new ServeStart(),
          new CallAlone(),
          new E2bCreateOverhead(),
          new E2bExecOverhead(),
          LedgerPairs.hot("ledger_hot_32", 32, List.of(), 0.6),
          LedgerPairs.hot("ledger_hot_128", 128, List.of(), 1.0),
          LedgerPairs.hot(
              "ledger_hot_3levels", 32, List.of(LimitScope.USER, LimitScope.CONVERSATION), 0.4),
          new LedgerPairs("ledger_hot_slow_disk", 32, 1, List.of(), 1, true, 0.35),
          new LedgerPairs("ledger_hot_2replicas", 32, 1, List.of(), 2, false, 0.3),
          new LedgerPairs("ledger_spread", 32, 1000, List.of(), 1, false, 0.4),
          new LedgerIdle(),
          new ReportMonth());

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
