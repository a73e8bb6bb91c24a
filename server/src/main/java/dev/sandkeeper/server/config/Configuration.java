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
 * @param engines which engine runs what, and when one is taken to be unable to
 * @param drift how what engines have on record is compared with what was billed
 * @param localEngine the engine on this machine
 * @param e2bEngine the engine at E2B
 * @param ledger how far ahead is paid
 * @param replica servers on one database
 * @param sandbox sandboxes
 * @param execution executions
 * @param redaction what is not shown of output
 * @param secrets what tenants keep by name
 * @param files file transfers
 * @param ports ports of sandboxes
 * @param alerts alerts by webhook
 * @param egress connections of sandboxes to hosts
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
    Engines engines,
    Drift drift,
    LocalEngine localEngine,
    E2bEngine e2bEngine,
    Ledger ledger,
    Replica replica,
    Sandbox sandbox,
    Execution execution,
    Redaction redaction,
    Secrets secrets,
    Files files,
    Ports ports,
    Alerts alerts,
    Egress egress,
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
      int maxOpenStreams,
      int maxOpenStreamsPerTenant,
      int maxOpenStreamsPerKey,
      RateLimit rateLimit,
      Optional<Tls> tls) {}

  /**
   * How often calls may come.
   *
   * @param requestsPerSecond the calls that one key may begin in a second; 0 for no limit
   * @param burst how many it may begin at once after a pause
   * @param failuresPerSecond the calls without a key that works that may come from one address in a
   *     second; 0 for no limit
   * @param failureBurst how many of these may come at once after a pause
   */
  public record RateLimit(
      int requestsPerSecond, int burst, int failuresPerSecond, int failureBurst) {}

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

  /**
   * Which engine runs what.
   *
   * @param standard runs what names no engine
   * @param tiers by price tier, what runs those templates that name none; of a tier that is not
   *     there, the standard one
   * @param fallback what is asked next, in order, for templates that name none
   */
  public record Engines(
      String standard, Map<String, String> tiers, List<String> fallback, EngineGuard guard) {
    /** Copies the tiers and the names. */
    public Engines {
      tiers = Map.copyOf(tiers);
      fallback = List.copyOf(fallback);
    }
  }

  /**
   * What an engine has on record beside what was billed.
   *
   * @param tolerance by how much both may differ
   * @param checkDelay how long after the end of a sandbox they are compared
   */
  public record Drift(Duration tolerance, Duration checkDelay) {}

  /** When an engine is taken to be unable to work. */
  public record EngineGuard(
      int window,
      int minimumCalls,
      int failurePercent,
      Duration openTime,
      int trialCalls,
      int maxStarting,
      Duration checkInterval) {}

  /**
   * The engine at E2B, which there is when one of the keys is set.
   *
   * @param apiKey empty when there is none, or it is in the file
   * @param apiUrl the control API; empty for the one of the domain
   * @param sandboxUrl where the daemons of all sandboxes are reached; empty for the domain's
   * @param maxSandboxes how many may run at once, as the account has it
   */
  public record E2bEngine(
      Secret apiKey,
      Optional<Path> apiKeyFile,
      String domain,
      Optional<URI> apiUrl,
      Optional<URI> sandboxUrl,
      String template,
      int maxSandboxes,
      Duration sessionLimit,
      Duration rotationMargin,
      Duration startTimeout) {

    /** Says whether there is such an engine. */
    public boolean isSetUp() {
      return !apiKey.value().isEmpty() || apiKeyFile.isPresent();
    }
  }

  /** The engine on this machine. */
  public record LocalEngine(
      String runtime,
      List<String> otherRuntimes,
      String node,
      String java,
      String r,
      Path cgroupRoot,
      String cgroupParent,
      Duration startTimeout,
      Duration sampleInterval) {
    /** Copies the runtimes. */
    public LocalEngine {
      otherRuntimes = List.copyOf(otherRuntimes);
    }
  }

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

  /**
   * What is not shown of output.
   *
   * @param enabled whether keys of known kinds are replaced by marks
   */
  public record Redaction(boolean enabled) {}

  /**
   * What tenants keep by name.
   *
   * @param key encrypts it, Base64 of 32 bytes; empty for none
   */
  public record Secrets(Secret key) {}

  /** File transfers. */
  public record Files(
      long maxUploadBytes,
      long maxDownloadBytes,
      int maxEntries,
      int maxWatches,
      int maxPartialUploads,
      Duration keepPartialUploads) {}

  /**
   * Ports of sandboxes.
   *
   * @param url such as {@code https://{port}-{sandbox}.sandboxes.example.com}; empty for no hosts
   */
  public record Ports(Optional<String> url, int maxConnections, Duration idleTimeout) {}

  /** Alerts by webhook. */
  public record Alerts(
      boolean allowPrivateAddresses,
      int maxWebhooks,
      int maxPending,
      int maxSending,
      Duration keep,
      Duration pollInterval) {}

  /** Connections of sandboxes to hosts. */
  public record Egress(
      int maxConnections, Duration connectTimeout, Duration idleTimeout, Duration auditInterval) {}

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
