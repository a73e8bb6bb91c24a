package dev.sandkeeper.server.config;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigException;
import com.typesafe.config.ConfigFactory;
import com.typesafe.config.ConfigParseOptions;
import com.typesafe.config.ConfigValueFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Reads the configuration: the shipped file, over it the operator's, over it the environment.
 *
 * <p>A key's environment variable is {@code SANDKEEPER_} and the key in capitals, with {@code _}
 * for every dot and hyphen.
 */
public final class ConfigurationLoader {
  private static final String SHIPPED_FILE = "sandkeeper.conf";
  private static final String ENVIRONMENT_PREFIX = "SANDKEEPER_";

  private static final int MAX_PORT = 65_535;
  private static final long KIB = 1L << 10;
  private static final long MIB = 1L << 20;
  private static final long GIB = 1L << 30;
  private static final long TIB = 1L << 40;

  private ConfigurationLoader() {}

  /**
   * Reads and checks everything.
   *
   * @param file the operator's file; empty for none
   * @param environment the environment's variables
   * @throws ConfigurationException with all problems when there is any: a file that cannot be read,
   *     a key that is not known, a value of a wrong type or out of its range
   */
  public static Configuration load(Optional<Path> file, Map<String, String> environment) {
    Config defaults =
        ConfigFactory.parseResources(ConfigurationLoader.class.getClassLoader(), SHIPPED_FILE)
            .resolve();
    List<String> problems = new ArrayList<>();
    Config operators =
        file.map(path -> withKnownKeys(parse(path, problems), defaults, problems))
            .orElse(ConfigFactory.empty());
    Config config =
        environmentOf(defaults, environment).withFallback(operators).withFallback(defaults);
    Configuration configuration =
        read(new ConfigurationReader(config, defaults, problems), problems);
    if (!problems.isEmpty()) {
      throw new ConfigurationException(problems);
    }
    return configuration;
  }

  private static Configuration read(ConfigurationReader reader, List<String> problems) {
    Configuration configuration =
        new Configuration(
            reader.path("data-folder"),
            reader.optionalText("node-id"),
            reader.optionalText("bootstrap-key-file").map(Path::of),
            new Configuration.Server(
                reader.requiredText("server.host"),
                reader.integer("server.port", 0, MAX_PORT),
                (int) reader.bytes("server.max-message-size", 64 * KIB, 64 * MIB),
                reader.duration("server.shutdown-grace", Duration.ZERO, Duration.ofHours(1)),
                reader.integer("server.max-connections", 1, 1_000_000),
                reader.integer("server.max-streams-per-connection", 1, 100_000),
                reader.duration("server.idle-timeout", Duration.ofSeconds(1), Duration.ofHours(1)),
                reader.duration(
                    "server.ping-interval", Duration.ofSeconds(1), Duration.ofMinutes(10)),
                reader.duration(
                    "server.request-timeout", Duration.ofSeconds(1), Duration.ofHours(1)),
                tls(reader, problems)),
            new Configuration.Cors(reader.origins("server.cors.allowed-origins")),
            new Configuration.Database(
                reader.optionalText("database.url"),
                reader.text("database.owner-user"),
                reader.secret("database.owner-password"),
                reader.text("database.server-user"),
                reader.secret("database.server-password"),
                reader.integer("database.embedded-port", 0, MAX_PORT),
                reader.integer("database.pool-size", 1, 500),
                reader.duration(
                    "database.acquire-timeout", Duration.ofMillis(250), Duration.ofMinutes(5)),
                reader.duration(
                    "database.statement-timeout", Duration.ofMillis(100), Duration.ofHours(1))),
            new Configuration.LocalEngine(
                reader.requiredText("engine.local.runtime"),
                reader.requiredText("engine.local.node"),
                reader.requiredText("engine.local.java"),
                reader.requiredText("engine.local.r"),
                reader.path("engine.local.cgroup-root"),
                reader.requiredText("engine.local.cgroup-parent"),
                reader.duration(
                    "engine.local.start-timeout", Duration.ofMillis(100), Duration.ofMinutes(10)),
                reader.duration(
                    "engine.local.sample-interval", Duration.ofMillis(10), Duration.ofMinutes(1))),
            new Configuration.Ledger(
                reader.duration("ledger.lease", Duration.ofSeconds(1), Duration.ofHours(1)),
                reader.duration("ledger.stop-time", Duration.ZERO, Duration.ofMinutes(10)),
                reader.integer("ledger.keep-months", 0, 1200)),
            new Configuration.Replica(
                reader.duration("replica.timeout", Duration.ofSeconds(2), Duration.ofMinutes(10))),
            new Configuration.Sandbox(
                reader.integer("sandbox.max-processes", 16, 32_768),
                reader.duration(
                    "sandbox.sweep-interval", Duration.ofMillis(100), Duration.ofMinutes(10))),
            new Configuration.Execution(
                reader.bytes("execution.journal-size", 64 * KIB, GIB),
                reader.duration("execution.keep", Duration.ofSeconds(1), Duration.ofDays(1)),
                reader.bytes("execution.max-journal-size", 64 * KIB, GIB),
                reader.duration("execution.max-keep", Duration.ofSeconds(1), Duration.ofDays(7)),
                reader.integer("execution.max-kept", 1, 100_000),
                reader.bytes("execution.max-kept-size", MIB, TIB),
                reader.integer("execution.max-running", 1, 1000),
                reader.integer("execution.max-contexts", 1, 32),
                reader.duration(
                    "execution.default-deadline", Duration.ofSeconds(1), Duration.ofHours(24)),
                reader.duration(
                    "execution.heartbeat-interval", Duration.ofMillis(100), Duration.ofMinutes(5))),
            new Configuration.Files(
                reader.bytes("files.max-upload-size", KIB, TIB),
                reader.bytes("files.max-download-size", KIB, TIB),
                reader.integer("files.max-entries", 1, 100_000),
                reader.integer("files.max-watches", 1, 24),
                reader.integer("files.max-partial-uploads", 1, 1000),
                reader.duration(
                    "files.keep-partial-uploads", Duration.ofSeconds(1), Duration.ofDays(1))),
            new Configuration.Alerts(
                reader.flag("alerts.allow-private-addresses"),
                reader.integer("alerts.max-webhooks", 1, 100),
                reader.integer("alerts.max-pending", 1, 100_000),
                reader.integer("alerts.max-sending", 1, 1000),
                reader.duration("alerts.keep", Duration.ZERO, Duration.ofDays(90)),
                reader.duration(
                    "alerts.poll-interval", Duration.ofMillis(100), Duration.ofMinutes(1))),
            new Configuration.Telemetry(
                reader.httpUri("telemetry.otlp-endpoint"),
                reader.duration(
                    "telemetry.export-interval", Duration.ofSeconds(1), Duration.ofHours(1)),
                reader.flag("telemetry.prometheus")),
            reader.effective());
    checkTogether(configuration.database(), problems);
    return configuration;
  }

  private static Optional<Configuration.Tls> tls(
      ConfigurationReader reader, List<String> problems) {
    String certificateKey = "server.tls.certificate-file";
    String keyKey = "server.tls.key-file";
    Optional<Path> certificateFile = reader.optionalText(certificateKey).map(Path::of);
    Optional<Path> keyFile = reader.optionalText(keyKey).map(Path::of);
    if (certificateFile.isPresent() != keyFile.isPresent()) {
      String set = certificateFile.isPresent() ? certificateKey : keyKey;
      String empty = certificateFile.isPresent() ? keyKey : certificateKey;
      problems.add(empty + ": is empty (expected: a file, as " + set + " is set)");
    }
    return certificateFile.flatMap(
        certificate -> keyFile.map(key -> new Configuration.Tls(certificate, key)));
  }

  private static void checkTogether(Configuration.Database database, List<String> problems) {
    if (database.url().isEmpty()) {
      return;
    }
    if (!database.url().get().startsWith("jdbc:postgresql:")) {
      // The URL itself may carry a password.
      problems.add("database.url: is not of PostgreSQL (expected: jdbc:postgresql://...)");
    }
    if (database.ownerUser().isBlank()) {
      problems.add("database.owner-user: is empty (expected: a role, as database.url is set)");
    }
    if (database.serverUser().isBlank()) {
      problems.add("database.server-user: is empty (expected: a role, as database.url is set)");
    }
  }

  private static Config parse(Path file, List<String> problems) {
    try {
      return ConfigFactory.parseFile(
              file.toFile(), ConfigParseOptions.defaults().setAllowMissing(false))
          .resolve();
    } catch (ConfigException.IO e) {
      problems.add(file + ": cannot be read");
    } catch (ConfigException e) {
      String message = e.getMessage();
      problems.add(message == null ? file + ": is not HOCON" : message);
    }
    return ConfigFactory.empty();
  }

  /** Takes out what is not known, so that it is one problem and not several. */
  private static Config withKnownKeys(Config operators, Config defaults, List<String> problems) {
    Config known = operators;
    for (String key : leaves(operators)) {
      if (!leaves(defaults).contains(key)) {
        problems.add(key + ": is not a key of this server's configuration");
        known = known.withoutPath(key);
      }
    }
    return known;
  }

  private static Config environmentOf(Config defaults, Map<String, String> environment) {
    Config config = ConfigFactory.empty();
    for (String key : leaves(defaults)) {
      String value = environment.get(environmentVariable(key));
      if (value != null) {
        config =
            config.withValue(
                key,
                ConfigValueFactory.fromAnyRef(
                    value, "environment variable " + environmentVariable(key)));
      }
    }
    return config;
  }

  /** Returns the name of the environment variable that sets a key. */
  static String environmentVariable(String key) {
    return ENVIRONMENT_PREFIX + key.toUpperCase(Locale.ROOT).replace('.', '_').replace('-', '_');
  }

  /** Returns every key with a value, in the order of the alphabet. */
  static List<String> leaves(Config config) {
    return config.entrySet().stream().map(Map.Entry::getKey).sorted().toList();
  }
}
