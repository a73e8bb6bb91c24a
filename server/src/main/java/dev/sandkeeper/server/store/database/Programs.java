package dev.sandkeeper.server.store.database;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Runs PostgreSQL's programs, which refuse to run as uid 0, also where this process is that. */
final class Programs {
  private Programs() {}

  /** Prepares a program without any change of user. */
  static ProcessBuilder direct(String... command) {
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    Map<String, String> environment = builder.environment();
    String path = environment.getOrDefault("PATH", "/usr/bin:/bin");
    // Nothing of this server's environment is PostgreSQL's business; its words stay English.
    environment.clear();
    environment.put("PATH", path);
    environment.put("LC_ALL", "C");
    return builder;
  }

  /**
   * Prepares a program of PostgreSQL. Where this process has uid 0, on the host or in a user
   * namespace, the program gets a namespace in which it has no name; files still belong to us.
   */
  static ProcessBuilder postgres(Path program, String... arguments) throws IOException {
    List<String> command = new ArrayList<>();
    // Out of reach of a Ctrl-C at the terminal, which this server answers in its own order.
    command.add("setsid");
    if (isUidZero()) {
      command.addAll(List.of("unshare", "--user"));
    }
    command.add(program.toString());
    command.addAll(List.of(arguments));
    return direct(command.toArray(String[]::new));
  }

  /**
   * Runs a program to its end.
   *
   * @return what it printed
   * @throws IOException when it exits with another code than 0; the message has what it printed
   */
  static String run(ProcessBuilder builder) throws IOException {
    Process process = builder.start();
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    int exitCode = waitFor(process);
    if (exitCode != 0) {
      throw new IOException(
          "%s exited with %d: %s"
              .formatted(String.join(" ", builder.command()), exitCode, output.strip()));
    }
    return output;
  }

  private static int waitFor(Process process) throws IOException {
    try {
      return process.waitFor();
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  private static boolean isUidZero() throws IOException {
    Object uid = Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    return uid.equals(0);
  }
}
