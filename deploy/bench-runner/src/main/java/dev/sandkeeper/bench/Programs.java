package dev.sandkeeper.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Runs programs of this machine. */
final class Programs {
  private static final Path NOTHING = Path.of("/dev/null");

  private Programs() {}

  /**
   * Runs a program to its end; what it writes goes to a file.
   *
   * @throws BenchException with what it wrote, when it does not exit with 0
   */
  static void run(Path log, List<String> command) throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectInput(NOTHING.toFile())
            .redirectOutput(log.toFile())
            .start();
    int code = process.waitFor();
    if (code != 0) {
      throw new BenchException(
          String.join(" ", command)
              + " exited with "
              + code
              + ": "
              + Files.readString(log).strip());
    }
  }
}
