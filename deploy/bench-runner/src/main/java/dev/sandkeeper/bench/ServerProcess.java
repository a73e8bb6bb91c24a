package dev.sandkeeper.bench;

import dev.sandkeeper.client.SandkeeperClient;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A server as a process of its own, in its default configuration but for port, data folder and what
 * a row asks for.
 */
final class ServerProcess {
  private static final Duration START_TIMEOUT = Duration.ofMinutes(5);
  private static final Duration STOP_TIMEOUT = Duration.ofMinutes(1);
  private static final Duration POLL_TIMEOUT = Duration.ofSeconds(5);
  private static final Duration POLL_INTERVAL = Duration.ofMillis(2);
  private static final String HOST = "127.0.0.1";

  private final Process process;
  private final int port;
  private final Path data;
  private final Path log;
  private final long launchNanos;
  private Duration startTime = Duration.ZERO;

  private ServerProcess(Process process, int port, Path data, Path log, long launchNanos) {
    this.process = process;
    this.port = port;
    this.data = data;
    this.log = log;
    this.launchNanos = launchNanos;
  }

  /** Starts the process and returns at once. */
  static ServerProcess launch(
      List<String> command, Path data, Path log, Map<String, String> settings) throws IOException {
    int port = freePort();
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectInput(Path.of("/dev/null").toFile())
            .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
    builder.environment().putAll(settings);
    builder.environment().put("SANDKEEPER_SERVER_HOST", HOST);
    builder.environment().put("SANDKEEPER_SERVER_PORT", Integer.toString(port));
    builder.environment().put("SANDKEEPER_DATA_FOLDER", data.toString());
    builder.environment().put("SANDKEEPER_BOOTSTRAP_KEY_FILE", keyFile(data).toString());
    long launchNanos = System.nanoTime();
    return new ServerProcess(builder.start(), port, data, log, launchNanos);
  }

  /** Waits until the health check says that the server serves. */
  void awaitServing() throws IOException, InterruptedException {
    while (!serves()) {
      if (!process.isAlive()) {
        throw new BenchException(
            "the server did not start; its log " + log + " ends: " + logTail());
      }
      if (sinceLaunch().compareTo(START_TIMEOUT) > 0) {
        throw new BenchException(
            "the server did not serve within "
                + START_TIMEOUT.toSeconds()
                + " s; its log is "
                + log);
      }
      Thread.sleep(POLL_INTERVAL);
    }
    startTime = sinceLaunch();
  }

  /** Returns how long it took from the start of the process until it served, to some ms. */
  Duration startTime() {
    return startTime;
  }

  /** Connects with the admin key. */
  SandkeeperClient connect() throws IOException {
    String key = Files.readString(keyFile(data)).strip();
    return SandkeeperClient.builder(HOST + ":" + port).apiKey(key).plaintext().build();
  }

  /** Returns the memory that the process has resident, in bytes. */
  long residentBytes() throws IOException {
    for (String line :
        Files.readAllLines(Path.of("/proc", Long.toString(process.pid()), "status"))) {
      if (line.startsWith("VmRSS:")) {
        return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
      }
    }
    throw new BenchException("the server has ended; its log " + log + " ends: " + logTail());
  }

  /** Stops the server as an operator would, and waits until it has ended. */
  void stop() throws InterruptedException {
    process.destroy();
    if (!process.waitFor(STOP_TIMEOUT.toMillis(), TimeUnit.MILLISECONDS)) {
      process.destroyForcibly().waitFor();
      throw new BenchException(
          "the server did not stop within " + STOP_TIMEOUT.toSeconds() + " s; its log is " + log);
    }
  }

  private Duration sinceLaunch() {
    return Duration.ofNanos(System.nanoTime() - launchNanos);
  }

  private boolean serves() throws IOException {
    var connection =
        (HttpURLConnection)
            URI.create("http://" + HOST + ":" + port + "/health").toURL().openConnection();
    connection.setConnectTimeout((int) POLL_TIMEOUT.toMillis());
    connection.setReadTimeout((int) POLL_TIMEOUT.toMillis());
    try {
      return connection.getResponseCode() == HttpURLConnection.HTTP_OK;
    } catch (IOException e) {
      // Nobody listens yet, or whoever does is not ready to answer.
      return false;
    } finally {
      connection.disconnect();
    }
  }

  private String logTail() throws IOException {
    List<String> lines = Files.readAllLines(log);
    return String.join("\n", lines.subList(Math.max(0, lines.size() - 5), lines.size()));
  }

  private static Path keyFile(Path data) {
    return data.resolve("admin-key");
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }
}
