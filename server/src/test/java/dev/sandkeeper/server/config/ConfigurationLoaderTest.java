package dev.sandkeeper.server.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.typesafe.config.ConfigFactory;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class ConfigurationLoaderTest {
  private static final Path FULL = Path.of("src/test/resources/config/full.conf");
  private static final List<String> KEYS =
      ConfigurationLoader.leaves(ConfigFactory.parseResources("sandkeeper.conf"));

  @TempDir Path temporary;

  @Test
  void shippedFileIsWhatTheServerRunsOnByDefault() {
    Configuration configuration = ConfigurationLoader.load(Optional.empty(), Map.of());

    assertThat(configuration.dataFolder()).isEqualTo(Path.of("data"));
    assertThat(configuration.nodeId()).isEmpty();
    assertThat(configuration.server())
        .isEqualTo(
            new Configuration.Server(
                "127.0.0.1",
                7400,
                32 << 20,
                Duration.ofSeconds(5),
                10_000,
                1_000,
                Duration.ofSeconds(60),
                Duration.ofSeconds(15),
                Duration.ofSeconds(60),
                20_000,
                10_000,
                5_000,
                new Configuration.RateLimit(1000, 2000, 10, 100),
                Optional.empty()));
    assertThat(configuration.database().url()).isEmpty();
    assertThat(configuration.engines())
        .isEqualTo(
            new Configuration.Engines(
                "local",
                Map.of(),
                List.of(),
                new Configuration.EngineGuard(
                    20, 10, 50, Duration.ofSeconds(30), 3, 256, Duration.ofSeconds(30))));
    assertThat(configuration.drift())
        .isEqualTo(new Configuration.Drift(Duration.ofSeconds(2), Duration.ofMinutes(1)));
    assertThat(configuration.ledger())
        .isEqualTo(new Configuration.Ledger(Duration.ofSeconds(60), Duration.ofSeconds(5), 0));
    assertThat(configuration.execution().journalBytes()).isEqualTo(16 << 20);
    assertThat(configuration.execution().keep()).isEqualTo(Duration.ofMinutes(10));
    assertThat(configuration.execution().maxJournalBytes()).isEqualTo(64 << 20);
    assertThat(configuration.execution().maxKeep()).isEqualTo(Duration.ofDays(1));
    assertThat(configuration.files())
        .isEqualTo(
            new Configuration.Files(10_000_000, 50_000_000, 10_000, 16, 16, Duration.ofHours(1)));
    assertThat(configuration.ports())
        .isEqualTo(new Configuration.Ports(Optional.empty(), 128, Duration.ofMinutes(10)));
    assertThat(configuration.alerts())
        .isEqualTo(
            new Configuration.Alerts(
                false, 16, 1000, 16, Duration.ofDays(7), Duration.ofSeconds(1)));
    assertThat(configuration.egress())
        .isEqualTo(
            new Configuration.Egress(
                1000, Duration.ofSeconds(5), Duration.ofMinutes(2), Duration.ofSeconds(5)));
    assertThat(configuration.telemetry().otlpEndpoint()).isEmpty();
    assertThat(configuration.telemetry().prometheus()).isTrue();
  }

  @Test
  void everyShippedKeyIsReadAndNamesItsEnvironmentVariable() throws IOException {
    Configuration configuration = ConfigurationLoader.load(Optional.empty(), Map.of());

    assertThat(configuration.effective().keySet()).containsExactlyInAnyOrderElementsOf(KEYS);
    assertThat(shippedText())
        .contains(
            KEYS.stream().map(key -> "# " + ConfigurationLoader.environmentVariable(key)).toList());
  }

  @Test
  void fullFileSetsEverything() {
    Configuration configuration = ConfigurationLoader.load(Optional.of(FULL), Map.of());

    assertThat(ConfigurationLoader.leaves(ConfigFactory.parseFile(FULL.toFile()))).isEqualTo(KEYS);
    assertThat(configuration.dataFolder()).isEqualTo(Path.of("/var/lib/sandkeeper"));
    assertThat(configuration.nodeId()).hasValue("node-7");
    assertThat(configuration.bootstrapKeyFile()).hasValue(Path.of("/etc/sandkeeper/key"));
    assertThat(configuration.server())
        .isEqualTo(
            new Configuration.Server(
                "0.0.0.0",
                9000,
                8 << 20,
                Duration.ofMinutes(1),
                100,
                10,
                Duration.ofSeconds(10),
                Duration.ofSeconds(5),
                Duration.ofSeconds(20),
                500,
                50,
                5,
                new Configuration.RateLimit(20, 30, 2, 3),
                Optional.of(
                    new Configuration.Tls(
                        Path.of("/etc/tls/tls.crt"), Path.of("/etc/tls/tls.key")))));
    assertThat(configuration.cors())
        .isEqualTo(new Configuration.Cors(List.of("https://app.example", "http://localhost:5173")));
    assertThat(configuration.database())
        .isEqualTo(
            new Configuration.Database(
                Optional.of("jdbc:postgresql://db.example:5432/sandkeeper"),
                "owner",
                new Secret("owner-secret"),
                "server",
                new Secret("server-secret"),
                5433,
                40,
                Duration.ofSeconds(1),
                Duration.ofSeconds(10)));
    assertThat(configuration.engines())
        .isEqualTo(
            new Configuration.Engines(
                "cloud",
                Map.of("standard", "local", "high-memory", "cloud", "gpu", "big"),
                List.of("local", "big"),
                new Configuration.EngineGuard(
                    50, 5, 25, Duration.ofMinutes(1), 2, 7, Duration.ofSeconds(10))));
    assertThat(configuration.drift())
        .isEqualTo(new Configuration.Drift(Duration.ofMillis(1500), Duration.ofMinutes(5)));
    assertThat(configuration.localEngine())
        .isEqualTo(
            new Configuration.LocalEngine(
                "/usr/local/bin/runsc",
                List.of("runc", "/opt/kata/bin/kata-runtime"),
                "/usr/lib/node-22/bin/node",
                "/usr/lib/jvm/java-21/bin/java",
                "/usr/local/bin/R",
                Path.of("/cgroup"),
                "other/sandkeeper",
                Duration.ofSeconds(20),
                Duration.ofMillis(100)));
    assertThat(configuration.e2bEngine())
        .isEqualTo(
            new Configuration.E2bEngine(
                new Secret("e2b_0123"),
                Optional.empty(),
                "e2b.example",
                Optional.of(URI.create("https://api.e2b.example:8443")),
                Optional.of(URI.create("http://sandboxes.e2b.example")),
                "ours",
                100,
                Duration.ofHours(24),
                Duration.ofMinutes(10),
                Duration.ofSeconds(40)));
    assertThat(configuration.ledger())
        .isEqualTo(new Configuration.Ledger(Duration.ofSeconds(30), Duration.ofSeconds(2), 24));
    assertThat(configuration.replica()).isEqualTo(new Configuration.Replica(Duration.ofSeconds(5)));
    assertThat(configuration.sandbox())
        .isEqualTo(new Configuration.Sandbox(100, Duration.ofSeconds(1)));
    assertThat(configuration.execution())
        .isEqualTo(
            new Configuration.Execution(
                1 << 20,
                Duration.ofMinutes(1),
                8 << 20,
                Duration.ofHours(2),
                10,
                2L << 30,
                4,
                3,
                Duration.ofMinutes(1),
                Duration.ofSeconds(5)));
    assertThat(configuration.redaction().enabled()).isFalse();
    assertThat(configuration.secrets().key().value()).startsWith("MDEy");
    assertThat(configuration.files())
        .isEqualTo(
            new Configuration.Files(20_000_000, 1_000_000_000, 50, 2, 3, Duration.ofMinutes(5)));
    assertThat(configuration.ports())
        .isEqualTo(
            new Configuration.Ports(
                Optional.of("https://{port}-{sandbox}.sandboxes.example:8443"),
                7,
                Duration.ofSeconds(30)));
    assertThat(configuration.alerts())
        .isEqualTo(
            new Configuration.Alerts(true, 3, 50, 4, Duration.ofHours(1), Duration.ofMillis(200)));
    assertThat(configuration.egress())
        .isEqualTo(
            new Configuration.Egress(
                20, Duration.ofSeconds(2), Duration.ofSeconds(30), Duration.ofSeconds(1)));
    assertThat(configuration.telemetry())
        .isEqualTo(
            new Configuration.Telemetry(
                Optional.of(URI.create("https://collector.example:4318")),
                Duration.ofSeconds(10),
                false));
  }

  @Test
  void environmentWinsOverTheFile() {
    Configuration configuration =
        ConfigurationLoader.load(
            Optional.of(FULL),
            Map.of(
                "SANDKEEPER_SERVER_PORT", "7000",
                "SANDKEEPER_SERVER_CORS_ALLOWED_ORIGINS", "https://a.example, http://[::1]:80",
                "SANDKEEPER_ENGINE_TIERS_HIGH_MEMORY", "local",
                "SANDKEEPER_ENGINE_FALLBACK", "cloud,big",
                "SANDKEEPER_LEDGER_LEASE", "90 s",
                "SANDKEEPER_FILES_MAX_UPLOAD_SIZE", "1 MiB",
                "SANDKEEPER_TELEMETRY_PROMETHEUS", "true"));

    assertThat(configuration.server().port()).isEqualTo(7000);
    assertThat(configuration.server().host()).isEqualTo("0.0.0.0");
    assertThat(configuration.cors().allowedOrigins())
        .containsExactly("https://a.example", "http://[::1]:80");
    assertThat(configuration.engines().tiers()).containsEntry("high-memory", "local");
    assertThat(configuration.engines().fallback()).containsExactly("cloud", "big");
    assertThat(configuration.ledger().lease()).isEqualTo(Duration.ofSeconds(90));
    assertThat(configuration.files().maxUploadBytes()).isEqualTo(1 << 20);
    assertThat(configuration.telemetry().prometheus()).isTrue();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"app.example", "https://app.example/", "https://app.example/x", "null", "ftp://a"})
  void whatIsNoOriginIsRefused(String origin) {
    assertThatThrownBy(() ->
            ConfigurationLoader.load(
                Optional.empty(), Map.of("SANDKEEPER_SERVER_CORS_ALLOWED_ORIGINS", origin)))
        .hasMessageContaining("server.cors.allowed-origins: " + origin + " (expected: ");
  }

  @Test
  void allProblemsAreToldAtOnce() throws IOException {
    Path file =
        write(
            """
            server { port = 70000, prot = 1, host = "" }
            ledger.lease = "soon"
            database { url = "mysql://somewhere", pool-size = 0, owner-password = [1] }
            telemetry.otlp-endpoint = "collector:4318"
            files = 3
            execution.keep = -1 s
            """);

    assertThatThrownBy(() -> ConfigurationLoader.load(Optional.of(file), Map.of()))
        .isInstanceOfSatisfying(
            ConfigurationException.class,
            e ->
                assertThat(e.problems())
                    .containsExactlyInAnyOrder(
                        "files: is not a key of this server's configuration",
                        "server.prot: is not a key of this server's configuration",
                        "server.port: 70000 (expected: 0 to 65535)",
                        "server.host: is empty (expected: a value)",
                        "ledger.lease: has a wrong type or unit (expected: as in \"60 s\")",
                        "database.owner-password: has a wrong type or unit (expected: as in \"\")",
                        "database.pool-size: 0 (expected: 1 to 500)",
                        "database.url: is not of PostgreSQL (expected: jdbc:postgresql://...)",
                        "telemetry.otlp-endpoint: collector:4318"
                            + " (expected: http://... or https://...)",
                        "execution.keep: PT-1S (expected: PT1S to PT24H)"));
  }

  // As from a file with the line ends of another system; what it is, no message tells.
  @Test
  void whatIsNoKeyOfE2bIsRefused() {
    assertThatThrownBy(() ->
            ConfigurationLoader.load(
                Optional.empty(), Map.of("SANDKEEPER_ENGINE_E2B_API_KEY", "e2b_c0ffee\r")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("engine.e2b.api-key: has a space, an end of a line")
        .hasMessageNotContaining("c0ffee");
  }

  @Test
  void noMoreCallsAreAskedForThanTheWindowHas() {
    assertThatThrownBy(() ->
            ConfigurationLoader.load(
                Optional.empty(), Map.of("SANDKEEPER_ENGINE_GUARD_MINIMUM_CALLS", "21")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining(
            "engine.guard.minimum-calls: 21 (expected: at most engine.guard.window, 20)");
  }

  @Test
  void certificateAndKeyAreSetTogether() {
    assertThatThrownBy(() ->
            ConfigurationLoader.load(
                Optional.empty(), Map.of("SANDKEEPER_SERVER_TLS_CERTIFICATE_FILE", "tls.crt")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("server.tls.key-file: is empty (expected: a file");
    assertThatThrownBy(() ->
            ConfigurationLoader.load(
                Optional.empty(), Map.of("SANDKEEPER_SERVER_TLS_KEY_FILE", "tls.key")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("server.tls.certificate-file: is empty (expected: a file");
  }

  @Test
  void wrongValueInTheEnvironmentIsAProblemToo() {
    assertThatThrownBy(() ->
            ConfigurationLoader.load(Optional.empty(), Map.of("SANDKEEPER_SERVER_PORT", "eighty")))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("server.port: has a wrong type or unit");
  }

  @Test
  void fileThatIsMissingOrBrokenIsNamed() throws IOException {
    Path missing = temporary.resolve("missing.conf");
    Path broken = write("server { port = ");

    assertThatThrownBy(() -> ConfigurationLoader.load(Optional.of(missing), Map.of()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("missing.conf: cannot be read");
    assertThatThrownBy(() -> ConfigurationLoader.load(Optional.of(broken), Map.of()))
        .isInstanceOf(ConfigurationException.class)
        .hasMessageContaining("own.conf");
  }

  @Test
  void secretsAreNeverPrinted() {
    Configuration configuration = ConfigurationLoader.load(Optional.of(FULL), Map.of());

    assertThat(configuration.toString())
        .contains("server.port = 9000", "database.owner-password = (hidden)")
        .doesNotContain("owner-secret", "server-secret");
    assertThat(configuration.database().toString()).doesNotContain("secret\"", "owner-secret");
  }

  private Path write(String text) throws IOException {
    return Files.writeString(temporary.resolve("own.conf"), text);
  }

  private static String shippedText() throws IOException {
    try (var input =
        Objects.requireNonNull(ConfigurationLoader.class.getResourceAsStream("/sandkeeper.conf"))) {
      return new String(input.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
