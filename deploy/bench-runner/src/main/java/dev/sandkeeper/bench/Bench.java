package dev.sandkeeper.bench;

import dev.sandkeeper.client.SandkeeperException;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;

/**
 * Measures a server and prints a table; {@code deploy/bench} starts it.
 *
 * <p>Exits with 0 when all was measured, with 1 when something went wrong or, where that is asked,
 * a floor was missed, and with 2 when the arguments are wrong. Whatever way it ends, it ends what
 * it started.
 */
public final class Bench {
  private static final int EXIT_FAILED = 1;
  private static final int EXIT_USAGE = 2;

  /** Who asks for fewer wants to know whether it works. */
  private static final int FEW_RUNS = 5;

  private Bench() {}

  /** Runs the benchmarks; see the class. */
  public static void main(String[] arguments) {
    System.exit(run(System.out, System.err, arguments));
  }

  /** Runs the benchmarks and returns the exit code. */
  static int run(PrintStream out, PrintStream err, String... arguments) {
    Options options;
    List<Row> rows;
    try {
      options = Options.parse(arguments);
      rows = Rows.select(options.only());
    } catch (BenchException e) {
      err.println("bench: " + e.getMessage());
      return EXIT_USAGE;
    }
    Lab lab =
        new Lab(
            options.data(),
            options.log(),
            options.serverCommand(),
            options.e2bPeer(),
            options.samples().orElse(Measurement.RUNS) < FEW_RUNS);
    Runtime.getRuntime().addShutdownHook(new Thread(lab::close, "end-all"));
    try {
      return measure(options, lab, rows, out);
    } catch (BenchException | SandkeeperException e) {
      err.println("bench: " + e.getMessage());
    } catch (IOException e) {
      err.println("bench: " + e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      err.println("bench: interrupted");
    }
    return EXIT_FAILED;
  }

  private static int measure(Options options, Lab lab, List<Row> rows, PrintStream out)
      throws IOException, InterruptedException {
    Machine.describe().forEach(out::println);
    Measurement measurement = new Measurement(options.samples(), System::nanoTime);
    List<Result> results = new ArrayList<>();
    for (Row row : rows) {
      out.println("Measuring " + row.spec().name());
      try (lab) {
        results.add(measurement.take(row, lab));
      }
    }
    out.println();
    Report.table(results).forEach(out::println);
    if (options.json().isPresent()) {
      Files.writeString(options.json().get(), Report.json(results));
    }
    boolean met = results.stream().allMatch(Result::met);
    return options.check() && !met ? EXIT_FAILED : 0;
  }
}
