package dev.sandkeeper.server.config;

import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/**
 * All that can be configured. Units, ranges and defaults are those of {@code sandkeeper.conf},
 * whose keys have the same names; {@link ConfigurationLoader} has checked them.
 *
 * @param dataFolder where the server keeps everything
 * @param nodeId the name of this machine; empty for the host's name
 * @param server the front door
 * @param cors which web pages may call
 * @param database the database
 * @param localEngine the engine on this machine
 * @param ledger how far ahead is paid
 * @param replica servers on one database
 * @param sandbox sandboxes
 * @param execution executions
 * @param files file transfers
 * @param alerts alerts by webhook
 * @param telemetry metrics and spans
 * @param effective every key with its value in words, in the order of the keys, secrets hidden
 */
public record Configuration(
    Path dataFolder,
    Optional<String> nodeId,
    Optional<Path> bootstrapKeyFile,
    Server server,
    Cors cors,
    Database database,
    LocalEngine localEngine,
    Ledger ledger,
    Replica replica,
    Sandbox sandbox,
    Execution execution,
    Files files,
    Alerts alerts,
    Telemetry telemetry,
    Map<String, String> effective) {

  /**
   * The front door.
   *
   * @param tls with what TLS is spoken; empty for no TLS
   */
  public record Server(
      String host,
      int port,
      int maxMessageBytes,
      Duration shutdownGrace,
      int maxConnections,
      int maxStreams,
      Duration idleTimeout,
      Duration pingInterval,
      Duration requestTimeout,
      Optional<Tls> tls) {}

  /** The files of the server's certificate and of its key. */
  public record Tls(Path certificateFile, Path keyFile) {}

  /**
   * Which web pages of other origins browsers let call the server.
   *
   * @param allowedOrigins such as {@code https://app.example}; {@code *} for all; empty for none
   */
  public record Cors(List<String> allowedOrigins) {
    /** Copies the origins. */
    public Cors {
      allowedOrigins = List.copyOf(allowedOrigins);
    }
  }

  /**
   * The database.
   *
   * @param url of one that runs elsewhere; empty for the embedded one, which needs neither user nor
   *     password
   */
  public record Database(
      Optional<String> url,
      String ownerUser,
      Secret ownerPassword,
      String serverUser,
      Secret serverPassword,
      int embeddedPort,
      int poolSize,
      Duration acquireTimeout,
      Duration statementTimeout) {}

  /** The engine on this machine. */
  public record LocalEngine(
      String runtime,
      String node,
      String java,
      String r,
      Path cgroupRoot,
      String cgroupParent,
      Duration startTimeout,
      Duration sampleInterval) {}

  /**
   * How far ahead is paid, and how long is remembered.
   *
   * @param keepMonths how many months of cost records are kept beside the present one; 0 for all
   */
  public record Ledger(Duration lease, Duration stopTime, int keepMonths) {}

  /** Servers on one database. */
  public record Replica(Duration timeout) {}

  /** Sandboxes. */
  public record Sandbox(int maxProcesses, Duration sweepInterval) {}

  /** Executions. */
  public record Execution(
      long journalBytes,
      Duration keep,
      long maxJournalBytes,
      Duration maxKeep,
      int maxKept,
      long maxKeptBytes,
      int maxRunning,
      int maxContexts,
      Duration defaultDeadline,
      Duration heartbeatInterval) {}

  /** File transfers. */
  public record Files(
      long maxUploadBytes,
      long maxDownloadBytes,
      int maxEntries,
      int maxWatches,
      int maxPartialUploads,
      Duration keepPartialUploads) {}

  /** Alerts by webhook. */
  public record Alerts(
      boolean allowPrivateAddresses,
      int maxWebhooks,
      int maxPending,
      int maxSending,
      Duration keep,
      Duration pollInterval) {}

  /**
   * Metrics and spans.
   *
   * @param otlpEndpoint where they are sent; empty for nowhere
   * @param prometheus whether the server's port shows the metrics
   */
  public record Telemetry(
      Optional<URI> otlpEndpoint, Duration exportInterval, boolean prometheus) {}

  /** Returns the effective configuration as lines of {@code key = value}, secrets hidden. */
  @Override
  public String toString() {
    return effective.entrySet().stream()
        .map(entry -> entry.getKey() + " = " + entry.getValue())
        .collect(Collectors.joining("\n"));
  }
}
