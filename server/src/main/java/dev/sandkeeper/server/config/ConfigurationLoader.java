package dev.sandkeeper.server.config;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigException;
import com.typesafe.config.ConfigFactory;
import com.typesafe.config.ConfigParseOptions;
import com.typesafe.config.ConfigValueFactory;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * Reads the configuration: the shipped file, over it the operator's, over it the environment.
 *
 * <p>A key's environment variable is {@code SANDKEEPER_} and the key in capitals, with {@code _}
 * for every dot and hyphen.
 */
public final class ConfigurationLoader {
  private static final String SHIPPED_FILE = "sandkeeper.conf";
  private static final String ENVIRONMENT_PREFIX = "SANDKEEPER_";

  /** Base64 of 32 bytes: the last character has two bits too many, which are 0. */
  private static final Pattern SECRETS_KEY =
      Pattern.compile("[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=");

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
                reader.integer("server.max-open-streams", 1, 1_000_000),
                reader.integer("server.max-open-streams-per-tenant", 1, 1_000_000),
                reader.integer("server.max-open-streams-per-key", 1, 1_000_000),
                new Configuration.RateLimit(
                    reader.integer("server.rate-limit.requests-per-second", 0, 1_000_000),
                    reader.integer("server.rate-limit.burst", 1, 1_000_000),
                    reader.integer("server.rate-limit.failures-per-second", 0, 1_000_000),
                    reader.integer("server.rate-limit.failure-burst", 1, 1_000_000)),
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
            engines(reader, problems),
            new Configuration.Drift(
                reader.duration("engine.drift-tolerance", Duration.ZERO, Duration.ofHours(1)),
                reader.duration(
                    "engine.drift-check-delay", Duration.ofMillis(100), Duration.ofHours(12))),
            new Configuration.LocalEngine(
                reader.requiredText("engine.local.runtime"),
                reader.texts("engine.local.other-runtimes"),
                reader.requiredText("engine.local.node"),
                reader.requiredText("engine.local.java"),
                reader.requiredText("engine.local.r"),
                reader.path("engine.local.cgroup-root"),
                reader.requiredText("engine.local.cgroup-parent"),
                reader.duration(
                    "engine.local.start-timeout", Duration.ofMillis(100), Duration.ofMinutes(10)),
                reader.duration(
                    "engine.local.sample-interval", Duration.ofMillis(10), Duration.ofMinutes(1))),
            e2bEngine(reader, problems),
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
            new Configuration.Redaction(reader.flag("redaction.enabled")),
            new Configuration.Secrets(reader.secret("secrets.key")),
            new Configuration.Files(
                reader.bytes("files.max-upload-size", KIB, TIB),
                reader.bytes("files.max-download-size", KIB, TIB),
                reader.integer("files.max-entries", 1, 100_000),
                reader.integer("files.max-watches", 1, 24),
                reader.integer("files.max-partial-uploads", 1, 1000),
                reader.duration(
                    "files.keep-partial-uploads", Duration.ofSeconds(1), Duration.ofDays(1))),
            new Configuration.Ports(
                reader.portUrl("ports.url"),
                reader.integer("ports.max-connections", 1, 1000),
                reader.duration("ports.idle-timeout", Duration.ofSeconds(1), Duration.ofDays(1))),
            new Configuration.Alerts(
                reader.flag("alerts.allow-private-addresses"),
                reader.integer("alerts.max-webhooks", 1, 100),
                reader.integer("alerts.max-pending", 1, 100_000),
                reader.integer("alerts.max-sending", 1, 1000),
                reader.duration("alerts.keep", Duration.ZERO, Duration.ofDays(90)),
                reader.duration(
                    "alerts.poll-interval", Duration.ofMillis(100), Duration.ofMinutes(1))),
            new Configuration.Egress(
                reader.integer("egress.max-connections", 1, 100_000),
                reader.duration(
                    "egress.connect-timeout", Duration.ofMillis(100), Duration.ofMinutes(1)),
                reader.duration("egress.idle-timeout", Duration.ofSeconds(1), Duration.ofHours(1)),
                reader.duration(
                    "egress.audit-interval", Duration.ofMillis(100), Duration.ofMinutes(5))),
            new Configuration.Telemetry(
                reader.httpUri("telemetry.otlp-endpoint"),
                reader.duration(
                    "telemetry.export-interval", Duration.ofSeconds(1), Duration.ofHours(1)),
                reader.flag("telemetry.prometheus")),
            reader.effective());
    checkTogether(configuration.database(), problems);
    check(configuration.secrets(), problems);
    return configuration;
  }

  private static Configuration.Engines engines(ConfigurationReader reader, List<String> problems) {
    Map<String, String> tiers = new HashMap<>();
    for (String tier : List.of("standard", "high-memory", "gpu")) {
      reader.optionalText("engine.tiers." + tier).ifPresent(engine -> tiers.put(tier, engine));
    }
    Configuration.EngineGuard guard =
        new Configuration.EngineGuard(
            reader.integer("engine.guard.window", 2, 1000),
            reader.integer("engine.guard.minimum-calls", 1, 1000),
            reader.integer("engine.guard.failure-percent", 1, 100),
            reader.duration("engine.guard.open-time", Duration.ofMillis(100), Duration.ofHours(1)),
            reader.integer("engine.guard.trial-calls", 1, 100),
            reader.integer("engine.guard.max-starting", 1, 10_000),
            reader.duration(
                "engine.guard.check-interval", Duration.ofMillis(100), Duration.ofMinutes(10)));
    if (guard.minimumCalls() > guard.window()) {
      problems.add(
          "engine.guard.minimum-calls: "
              + guard.minimumCalls()
              + " (expected: at most engine.guard.window, "
              + guard.window()
              + ")");
    }
    return new Configuration.Engines(
        reader.requiredText("engine.default"), tiers, reader.texts("engine.fallback"), guard);
  }

  private static Configuration.E2bEngine e2bEngine(
      ConfigurationReader reader, List<String> problems) {
    Configuration.E2bEngine engine =
        new Configuration.E2bEngine(
            reader.secret("engine.e2b.api-key"),
            reader.optionalText("engine.e2b.api-key-file").map(Path::of),
            reader.requiredText("engine.e2b.domain"),
            reader.httpUri("engine.e2b.api-url"),
            reader.httpUri("engine.e2b.sandbox-url"),
            reader.requiredText("engine.e2b.template"),
            reader.integer("engine.e2b.max-sandboxes", 1, 1_000_000),
            reader.duration(
                "engine.e2b.session-limit", Duration.ofMinutes(1), Duration.ofDays(365)),
            reader.duration("engine.e2b.rotation-margin", Duration.ZERO, Duration.ofHours(12)),
            reader.duration(
                "engine.e2b.start-timeout", Duration.ofSeconds(1), Duration.ofMinutes(10)));
    if (engine.rotationMargin().compareTo(engine.sessionLimit()) >= 0) {
      problems.add(
          "engine.e2b.rotation-margin: "
              + engine.rotationMargin()
              + " (expected: less than engine.e2b.session-limit, "
              + engine.sessionLimit()
              + ")");
    }
    if (!engine.apiKey().value().matches("[\\x21-\\x7e]*")) {
      problems.add(
          "engine.e2b.api-key: has a space, an end of a line or what else no key has"
              + " (expected: letters, digits and _)");
    }
    if (!engine.apiKey().value().isEmpty() && engine.apiKeyFile().isPresent()) {
      problems.add(
          "engine.e2b.api-key: is set, and so is engine.e2b.api-key-file (expected: one of them)");
    }
    return engine;
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

  private static void check(Configuration.Secrets secrets, List<String> problems) {
    String key = secrets.key().value();
    if (!key.isEmpty() && !SECRETS_KEY.matcher(key).matches()) {
      problems.add("secrets.key: is no key (expected: Base64 of 32 bytes)"); // never shown
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
