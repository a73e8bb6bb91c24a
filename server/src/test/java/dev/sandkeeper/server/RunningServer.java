package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.linecorp.armeria.server.ServerConfig;
import dev.sandkeeper.server.config.Configuration;
import dev.sandkeeper.server.config.ConfigurationLoader;
import dev.sandkeeper.server.engine.local.LocalEngine;
import dev.sandkeeper.server.engine.local.LocalEngineSettings;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.ledger.LedgerSettings;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import dev.sandkeeper.v1.CreateApiKeyRequest;
import dev.sandkeeper.v1.CreateTenantRequest;
import dev.sandkeeper.v1.ListSandboxesRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.Scope;
import dev.sandkeeper.v1.TerminateSandboxRequest;
import io.grpc.ManagedChannel;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import javax.net.ssl.SSLException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * Gives a test class the whole server, with the local engine and a database of its own, on a free
 * port:
 *
 * <pre>{@code
 * @RegisterExtension static final RunningServer server = new RunningServer();
 * }</pre>
 *
 * After each test the sandboxes that run are ended and the books are checked; after the class no
 * container may be left. Outside the namespace of {@code deploy/lib/in-namespace} it fails to start
 * and says so.
 */
public final class RunningServer implements BeforeAllCallback, AfterEachCallback, AfterAllCallback {
  /** The tenant of every caller but {@link #stranger}. */
  public static final String TENANT = "default";

  /** The tenant of {@link #stranger}. */
  public static final String OTHER_TENANT = "other";

  /** The agent that {@link #agent} is bound to. */
  public static final String AGENT = "agent-1";

  private final DatabaseExtension database = new DatabaseExtension();
  private final Map<String, String> overrides;
  private final @Nullable Path trusted;
  private final List<EngineAssembly.Added> engines;
  private @Nullable Path dataFolder;
  private @Nullable Configuration configuration;
  private @Nullable ServerAssembly assembly;
  private @Nullable ManagedChannel channel;
  private @Nullable Caller admin;
  private @Nullable Caller runner;
  private @Nullable Caller reader;
  private @Nullable Caller agent;
  private @Nullable Caller stranger;

  /** Runs a server with its defaults. */
  public RunningServer() {
    this(Map.of());
  }

  /**
   * Runs a server.
   *
   * @param overrides variables of its environment, such as {@code SANDKEEPER_LEDGER_LEASE}
   */
  public RunningServer(Map<String, String> overrides) {
    this(overrides, List.of());
  }

  /**
   * Runs a server with further engines beside the local one.
   *
   * @param engines they outlive a restart
   */
  RunningServer(Map<String, String> overrides, List<EngineAssembly.Added> engines) {
    this.overrides = Map.copyOf(overrides);
    this.trusted = null;
    this.engines = List.copyOf(engines);
  }

  /**
   * Runs a server with TLS.
   *
   * @param trusted the certificates that its callers trust
   */
  public RunningServer(Map<String, String> overrides, Path trusted) {
    this.overrides = Map.copyOf(overrides);
    this.trusted = trusted;
    this.engines = List.of();
  }

  @Override
  public void beforeAll(ExtensionContext context) throws Exception {
    database.beforeAll(context);
    Path folder = Files.createTempDirectory("server");
    dataFolder = folder;
    start();
    String secret = Files.readString(folder.resolve("admin-key")).strip();
    Caller first = caller(secret);
    admin = first;
    runner = newCaller(key -> key.addScopes(Scope.SCOPE_RUN));
    reader = newCaller(key -> key.addScopes(Scope.SCOPE_READ));
    agent = newCaller(key -> key.addScopes(Scope.SCOPE_RUN).setAgentId(AGENT));
    var _ =
        first
            .admin()
            .createTenant(CreateTenantRequest.newBuilder().setTenantId(OTHER_TENANT).build());
    stranger =
        newCaller(key ->
            key.setTenantId(OTHER_TENANT).addScopes(Scope.SCOPE_RUN).addScopes(Scope.SCOPE_ADMIN));
  }

  @Override
  public void afterEach(ExtensionContext context) {
    List.of(admin(), stranger()).forEach(RunningServer::endSandboxes);
    assertThat(ledger().checkInvariants()).isEmpty();
  }

  @Override
  public void afterAll(ExtensionContext context) throws Exception {
    try {
      stop();
      if (configuration != null) {
        assertNoContainerIsLeft();
      }
    } finally {
      if (dataFolder != null) {
        deleteTree(dataFolder);
      }
      database.afterAll(context);
    }
  }

  /** Returns the server's data folder. */
  public Path dataFolder() {
    return Objects.requireNonNull(dataFolder);
  }

  /** Starts the server over its data folder; sandboxes of an earlier start are taken up again. */
  public void start() {
    Path folder = dataFolder();
    Map<String, String> environment = new HashMap<>(database.environment());
    environment.put("SANDKEEPER_DATA_FOLDER", folder.toString());
    environment.put("SANDKEEPER_SERVER_PORT", "0");
    environment.put("SANDKEEPER_SERVER_SHUTDOWN_GRACE", "0 s");
    environment.put("SANDKEEPER_DATABASE_POOL_SIZE", "8");
    // Tests call as fast as they can, with one key and with wrong ones.
    environment.put("SANDKEEPER_SERVER_RATE_LIMIT_REQUESTS_PER_SECOND", "0");
    environment.put("SANDKEEPER_SERVER_RATE_LIMIT_FAILURES_PER_SECOND", "0");
    environment.put("SANDKEEPER_BOOTSTRAP_KEY_FILE", folder.resolve("admin-key").toString());
    environment.putAll(overrides);
    Configuration loaded = ConfigurationLoader.load(Optional.empty(), environment);
    configuration = loaded;
    assembly = ServerAssembly.start(loaded, engines);
    channel = trusted == null ? plaintextChannel() : tlsChannel(trusted);
  }

  /** Stops the server and starts it again; the callers are of the new one from here on. */
  void restart() throws InterruptedException {
    stop();
    start();
    admin = caller(admin().secret());
    runner = caller(runner().secret());
    reader = caller(reader().secret());
    agent = caller(agent().secret());
    stranger = caller(stranger().secret());
  }

  /** Opens a connection without TLS, for the caller to shut down. */
  public ManagedChannel plaintextChannel() {
    return NettyChannelBuilder.forAddress("127.0.0.1", port()).usePlaintext().build();
  }

  /** Opens a connection with TLS that trusts the certificates in a file, to be shut down too. */
  public ManagedChannel tlsChannel(Path trustedFile) {
    try {
      return NettyChannelBuilder.forAddress("127.0.0.1", port())
          .sslContext(GrpcSslContexts.forClient().trustManager(trustedFile.toFile()).build())
          .build();
    } catch (SSLException e) {
      throw new IllegalStateException(e);
    }
  }

  /** Stops the server; what runs in the engine runs on. */
  public void stop() throws InterruptedException {
    if (channel != null) {
      channel.shutdownNow();
      assertThat(channel.awaitTermination(10, TimeUnit.SECONDS)).isTrue();
      channel = null;
    }
    if (assembly != null) {
      assembly.close();
      assembly = null;
    }
  }

  /** Returns the port of everything. */
  public int port() {
    return Objects.requireNonNull(assembly).port();
  }

  /** Returns what is served, by which routes. */
  public ServerConfig served() {
    return Objects.requireNonNull(assembly).served();
  }

  /** Returns the database, for looks behind the contract. */
  public DatabaseExtension database() {
    return database;
  }

  /** Returns a caller with the scopes admin, run and read. */
  public Caller admin() {
    return Objects.requireNonNull(admin);
  }

  /** Returns a caller with the scope run. */
  public Caller runner() {
    return Objects.requireNonNull(runner);
  }

  /** Returns a caller with the scope read. */
  public Caller reader() {
    return Objects.requireNonNull(reader);
  }

  /** Returns a caller with the scope run whose key is bound to {@link #AGENT}. */
  public Caller agent() {
    return Objects.requireNonNull(agent);
  }

  /** Returns a caller of another tenant with the scopes admin and run. */
  public Caller stranger() {
    return Objects.requireNonNull(stranger);
  }

  /** Returns a caller without a key. */
  public Caller anonymous() {
    return caller("");
  }

  /** Returns a caller with the key that the administrator makes. */
  public Caller newCaller(UnaryOperator<CreateApiKeyRequest.Builder> key) {
    return caller(
        admin()
            .admin()
            .createApiKey(key.apply(CreateApiKeyRequest.newBuilder()).build())
            .getSecret());
  }

  /** Returns a caller that sends the given secret. */
  public Caller caller(String secret) {
    return new Caller(Objects.requireNonNull(channel), secret);
  }

  /** Returns the present value of a metric without labels, as Prometheus names it. */
  public double metric(String name) {
    return metrics()
        .lines()
        .filter(line -> line.startsWith(name + " "))
        .mapToDouble(line -> Double.parseDouble(line.substring(name.length())))
        .findFirst()
        .orElseThrow();
  }

  /** Returns the present metrics as Prometheus' text. */
  String metrics() {
    // HTTP/1 has no pings: some servers of tests wait so briefly for answers to them that they cut
    // off a process that was held up.
    try (HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()) {
      return client
          .send(
              HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port() + "/metrics"))
                  .header("authorization", "Bearer " + admin().secret())
                  .build(),
              HttpResponse.BodyHandlers.ofString())
          .body();
    } catch (IOException | InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private Ledger ledger() {
    Configuration.Ledger settings = Objects.requireNonNull(configuration).ledger();
    return new Ledger(
        LedgerRepositories.ledger(database.transactions()),
        new LedgerSettings(settings.lease(), settings.stopTime()));
  }

  private static void endSandboxes(Caller caller) {
    ListSandboxesRequest live =
        ListSandboxesRequest.newBuilder()
            .addStates(SandboxState.SANDBOX_STATE_RUNNING)
            .addStates(SandboxState.SANDBOX_STATE_PAUSED)
            .addStates(SandboxState.SANDBOX_STATE_STOPPING)
            .setPageSize(1000)
            .build();
    for (Sandbox sandbox : caller.sandboxes().listSandboxes(live).getSandboxesList()) {
      var _ =
          caller
              .sandboxes()
              .terminateSandbox(
                  TerminateSandboxRequest.newBuilder()
                      .setSandboxId(sandbox.getSandboxId())
                      .build());
    }
  }

  private void assertNoContainerIsLeft() {
    Configuration.LocalEngine settings = Objects.requireNonNull(configuration).localEngine();
    try (LocalEngine engine =
        new LocalEngine(
            new LocalEngineSettings(
                Objects.requireNonNull(dataFolder).toAbsolutePath().resolve("engine"),
                settings.runtime(),
                settings.otherRuntimes(),
                settings.node(),
                settings.java(),
                settings.r(),
                settings.cgroupRoot(),
                settings.cgroupParent(),
                Duration.ofSeconds(10),
                Duration.ofSeconds(1)))) {
      assertThat(engine.list()).isEmpty();
    }
  }

  private static void deleteTree(Path folder) throws IOException {
    try (Stream<Path> paths = Files.walk(folder)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
  }
}
