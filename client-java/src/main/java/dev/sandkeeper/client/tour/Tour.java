package dev.sandkeeper.client.tour;

import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.client.SandkeeperException;
import dev.sandkeeper.v1.CreateSandboxRequest;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.LongSupplier;

/**
 * Shows the main job: runs an agent's code in a sandbox, streams its output, and reads the books on
 * it.
 *
 * <p>{@code Tour HOST:PORT KEY_FILE} speaks without TLS to the server there, with the admin key in
 * the file. Exits with 0 when everything was as it must be, with 1 and one line on standard error
 * when not, and with 2 when the arguments are wrong. It ends its sandbox on every way out.
 */
public final class Tour {
  private Tour() {}

  /** Runs the tour; see the class. */
  public static void main(String[] args) {
    if (args.length != 2) {
      System.err.println("usage: Tour HOST:PORT KEY_FILE");
      System.exit(2);
    }
    System.exit(run(args[0], Path.of(args[1]), System.out, System.err));
  }

  /** Runs the tour and returns the exit code. */
  static int run(String target, Path keyFile, PrintStream out, PrintStream err) {
    try {
      String key = Files.readString(keyFile, StandardCharsets.UTF_8).strip();
      try (SandkeeperClient client =
          SandkeeperClient.builder(target).apiKey(key).plaintext().build()) {
        run(client, out, System::nanoTime);
      }
      return 0;
    } catch (TourFailure | SandkeeperException e) {
      err.println("tour: " + e.getMessage());
    } catch (IOException e) {
      err.println("tour: cannot read or write a file: " + e);
    }
    return 1;
  }

  /** Runs the tour over a connection. */
  static void run(SandkeeperClient client, PrintStream out, LongSupplier nanoTime)
      throws IOException {
    Job job = new Job(client, out, nanoTime);
    Books books = new Books(client, out);
    books.limitTheDay();
    String sandboxId;
    try (LeasedSandbox sandbox = job.createSandbox(CreateSandboxRequest.getDefaultInstance())) {
      sandboxId = sandbox.sandbox().id();
      job.runPython(sandbox.sandbox());
      job.runShell(sandbox.sandbox());
      job.moveFile(sandbox.sandbox());
      job.end(sandbox);
    }
    books.show(client.getSandbox(sandboxId));
  }
}
