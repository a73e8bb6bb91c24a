package dev.sandkeeper.bench;

import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** What this machine is: figures without it say little. */
final class Machine {
  private static final Path PROC = Path.of("/proc");

  private Machine() {}

  /** Returns lines that describe the machine, and a note when something else keeps it busy. */
  static List<String> describe() throws IOException, InterruptedException {
    int cores = Runtime.getRuntime().availableProcessors();
    double load = loadAverage(Files.readString(PROC.resolve("loadavg")));
    String facts =
        String.format(
            Locale.ROOT,
            "%d cores (%s), %s of memory, Linux %s, Java %s, %s, load average %.2f",
            cores,
            field("cpuinfo", "model name").orElse("unknown model"),
            field("meminfo", "MemTotal").orElse("unknown size"),
            System.getProperty("os.version"),
            System.getProperty("java.runtime.version"),
            runcVersion(),
            load);
    return note(load, cores).map(note -> List.of(facts, note)).orElse(List.of(facts));
  }

  /** Returns how much memory programs may still take, as the kernel reckons it. */
  static long availableBytes() throws IOException {
    return field("meminfo", "MemAvailable")
        .map(kilobytes -> Long.parseLong(kilobytes.replaceAll("\\D", "")) * 1024)
        .orElseThrow(() -> new BenchException("the kernel does not say what memory is available"));
  }

  /** Returns the first number of {@code /proc/loadavg}: the average of the last minute. */
  static double loadAverage(String loadavg) {
    return Double.parseDouble(loadavg.substring(0, loadavg.indexOf(' ')));
  }

  /** Returns a warning when, on average, more than half of the cores had work. */
  static Optional<String> note(double load, int cores) {
    return load > cores / 2.0
        ? Optional.of(
            "Something else keeps this machine busy: take the figures with care, the ratios less"
                + " so.")
        : Optional.empty();
  }

  private static Optional<String> field(String file, String name) throws IOException {
    return Files.readAllLines(PROC.resolve(file)).stream()
        .filter(line -> line.startsWith(name))
        .map(line -> line.substring(line.indexOf(':') + 1).strip())
        .findFirst();
  }

  private static String runcVersion() throws IOException, InterruptedException {
    Process process;
    try {
      process = new ProcessBuilder("runc", "--version").start();
    } catch (IOException e) {
      // The rows that need it say so.
      return "no runc";
    }
    try (var reader = process.inputReader(Charset.defaultCharset())) {
      String line = reader.readLine();
      return line == null ? "runc of unknown version" : line;
    } finally {
      process.waitFor();
    }
  }
}
