package dev.sandkeeper.server;

import com.linecorp.armeria.server.Server;
import com.linecorp.armeria.server.ServerBuilder;
import com.linecorp.armeria.server.ServerConfig;
import com.zaxxer.hikari.HikariDataSource;
import dev.sandkeeper.server.access.ApiKeys;
import dev.sandkeeper.server.access.CallRates;
import dev.sandkeeper.server.access.RateLimiter;
import dev.sandkeeper.server.alert.Addresses;
import dev.sandkeeper.server.alert.AlertSettings;
import dev.sandkeeper.server.alert.Outbox;
import dev.sandkeeper.server.alert.OutboxSender;
import dev.sandkeeper.server.alert.Webhooks;
import dev.sandkeeper.server.alert.http.HttpReceivers;
import dev.sandkeeper.server.api.Api;
import dev.sandkeeper.server.api.Calls;
import dev.sandkeeper.server.api.EventStream;
import dev.sandkeeper.server.api.OpenStreams;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.AnchoredClock;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.config.Configuration;
import dev.sandkeeper.server.egress.ConnectionLog;
import dev.sandkeeper.server.egress.Destinations;
import dev.sandkeeper.server.egress.UsedBytes;
import dev.sandkeeper.server.egress.proxy.EgressProxy;
import dev.sandkeeper.server.egress.proxy.EgressSettings;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.SandboxEngine;
import dev.sandkeeper.server.engine.e2b.E2bEngine;
import dev.sandkeeper.server.engine.e2b.E2bEngineSettings;
import dev.sandkeeper.server.engine.e2b.E2bSettings;
import dev.sandkeeper.server.engine.e2b.KeyFile;
import dev.sandkeeper.server.engine.local.LocalEngine;
import dev.sandkeeper.server.engine.local.LocalEngineSettings;
import dev.sandkeeper.server.execution.Contexts;
import dev.sandkeeper.server.execution.ExecutionInputs;
import dev.sandkeeper.server.execution.ExecutionLimits;
import dev.sandkeeper.server.execution.ExecutionRepository;
import dev.sandkeeper.server.execution.Executions;
import dev.sandkeeper.server.execution.FileAudit;
import dev.sandkeeper.server.execution.FileLimits;
import dev.sandkeeper.server.execution.KeptExecutions;
import dev.sandkeeper.server.execution.OneOffRuns;
import dev.sandkeeper.server.execution.OutcomeRecorder;
import dev.sandkeeper.server.execution.Retention;
import dev.sandkeeper.server.execution.SandboxFiles;
import dev.sandkeeper.server.execution.TaskRunner;
import dev.sandkeeper.server.http.HttpFace;
import dev.sandkeeper.server.ledger.Adjustments;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.ledger.LedgerSettings;
import dev.sandkeeper.server.ledger.LimitQuery;
import dev.sandkeeper.server.ledger.LimitScope;
import dev.sandkeeper.server.ledger.Limits;
import dev.sandkeeper.server.ledger.LlmSpend;
import dev.sandkeeper.server.ledger.ModelPrices;
import dev.sandkeeper.server.ledger.Prices;
import dev.sandkeeper.server.ledger.ReconciliationRepository;
import dev.sandkeeper.server.ledger.Upkeep;
import dev.sandkeeper.server.net.SystemLookup;
import dev.sandkeeper.server.port.PortSettings;
import dev.sandkeeper.server.port.PortUrl;
import dev.sandkeeper.server.port.Ports;
import dev.sandkeeper.server.redaction.Redaction;
import dev.sandkeeper.server.sandbox.CostEstimator;
import dev.sandkeeper.server.sandbox.Reconciler;
import dev.sandkeeper.server.sandbox.Registration;
import dev.sandkeeper.server.sandbox.ReplicaRepository;
import dev.sandkeeper.server.sandbox.SandboxRoom;
import dev.sandkeeper.server.sandbox.SandboxSettings;
import dev.sandkeeper.server.sandbox.Sandboxes;
import dev.sandkeeper.server.sandbox.Templates;
import dev.sandkeeper.server.secret.SecretBox;
import dev.sandkeeper.server.secret.Secrets;
import dev.sandkeeper.server.store.AlertRepositories;
import dev.sandkeeper.server.store.JooqTransactions;
import dev.sandkeeper.server.store.LedgerRepositories;
import dev.sandkeeper.server.store.SandboxRepositories;
import dev.sandkeeper.server.store.database.Credentials;
import dev.sandkeeper.server.store.database.DataFolder;
import dev.sandkeeper.server.store.database.Database;
import dev.sandkeeper.server.store.database.PoolSettings;
import dev.sandkeeper.server.telemetry.ActiveSandboxes;
import dev.sandkeeper.server.telemetry.QuotaReading;
import dev.sandkeeper.server.telemetry.Telemetry;
import dev.sandkeeper.server.telemetry.TelemetrySettings;
import dev.sandkeeper.server.transport.ServerCertificate;
import dev.sandkeeper.server.transport.Transport;
import dev.sandkeeper.server.transport.TransportSettings;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Puts the server together, from the configuration to the open port, and takes it apart again. */
final class ServerAssembly implements AutoCloseable {
  private static final Logger logger = LoggerFactory.getLogger(ServerAssembly.class);

  /** The statuses of streams that end with the grace may take this long to reach their callers. */
  private static final Duration LAST_WORDS = Duration.ofSeconds(5);

  /** With the time that a look takes, well below the five seconds that are promised. */
  private static final Duration KEY_CHECK_INTERVAL = Duration.ofSeconds(2);

  private static final Duration EGRESS_CHECK_INTERVAL = Duration.ofSeconds(1);
  private static final Duration ALERT_TIMEOUT = Duration.ofSeconds(10);
  private static final Duration TIDY_INTERVAL = Duration.ofMinutes(1);

  /** Reports read what is younger one by one. */
  private static final Duration FOLD_INTERVAL = Duration.ofSeconds(10);

  private final Configuration configuration;
  private final List<EngineAssembly.Added> otherEngines;
  private final IdGenerator ids = new IdGenerator(new SecureRandom());
  private final Deque<AutoCloseable> parts = new ArrayDeque<>();
  private @Nullable Server server;

  private ServerAssembly(Configuration configuration, List<EngineAssembly.Added> otherEngines) {
    this.configuration = configuration;
    this.otherEngines = otherEngines;
  }

  /**
   * Starts everything, takes up what an earlier server left, and opens the port.
   *
   * @throws StartException when the port is taken; {@link
   *     dev.sandkeeper.server.transport.TlsException}, {@link
   *     dev.sandkeeper.server.store.database.DatabaseException} and {@link
   *     dev.sandkeeper.server.engine.EngineException} when the certificate's files, the database or
   *     the engine cannot work
   */
  static ServerAssembly start(Configuration configuration) {
    return start(configuration, List.of());
  }

  /**
   * Starts everything with further engines beside those that are configured.
   *
   * @param otherEngines closed with the server
   */
  static ServerAssembly start(
      Configuration configuration, List<EngineAssembly.Added> otherEngines) {
    ServerAssembly assembly = new ServerAssembly(configuration, otherEngines);
    try {
      assembly.start();
      return assembly;
    } catch (RuntimeException | Error e) {
      assembly.close();
      throw e;
    }
  }

  /** Returns the port that is open. */
  int port() {
    return Objects.requireNonNull(server).activeLocalPort();
  }

  /** Returns what is served, by which routes. */
  ServerConfig served() {
    return Objects.requireNonNull(server).config();
  }

  /**
   * Closes the port, then everything behind it. Sandboxes run on, as far as they have paid; the
   * next server takes them up.
   */
  @Override
  public synchronized void close() {
    while (!parts.isEmpty()) {
      try {
        parts.pop().close();
      } catch (Exception e) {
        logger.warn("A part of the server did not close cleanly", e);
      }
    }
  }

  private <T extends AutoCloseable> T part(T part) {
    parts.push(part);
    return part;
  }

  private void start() {
    Optional<ServerCertificate> certificate =
        configuration
            .server()
            .tls()
            .map(tls ->
                ServerCertificate.read(
                    tls.certificateFile(), tls.keyFile(), InstantSource.system()));
    DataFolder dataFolder = part(DataFolder.open(configuration.dataFolder()));
    String nodeId = NodeId.of(configuration.nodeId(), dataFolder.path(), ids);
    Telemetry telemetry =
        part(
            Telemetry.start(
                new TelemetrySettings(
                    nodeId,
                    configuration.telemetry().otlpEndpoint(),
                    configuration.telemetry().exportInterval())));
    CompletableFuture<Void> libraries = Libraries.initialise();
    Database database = part(database(dataFolder));
    JooqTransactions transactions = new JooqTransactions(database.dataSource(), new SecureRandom());
    BillingClock clock = new AnchoredClock(database.now(), System::nanoTime);
    AuditLog auditLog = LedgerRepositories.auditLog(transactions);
    LedgerSettings ledgerSettings =
        new LedgerSettings(configuration.ledger().lease(), configuration.ledger().stopTime());
    Ledger ledger = new Ledger(LedgerRepositories.ledger(transactions), ledgerSettings);
    ApiKeys apiKeys =
        new ApiKeys(
            transactions,
            SandboxRepositories.apiKeys(transactions),
            auditLog,
            clock,
            ids,
            callRates(telemetry));
    configuration.bootstrapKeyFile().ifPresent(file -> BootstrapKey.ensure(apiKeys, file));

    EngineAssembly engines = part(engines(dataFolder.path(), telemetry));
    VirtualThreadExecutor executor = part(new VirtualThreadExecutor());
    Registration registration = register(database, nodeId, engines.engines());
    EgressProxy egress = startEgress(transactions, auditLog, clock, telemetry, executor);
    SandboxRoom sandboxes =
        SandboxRoom.create(
            transactions,
            SandboxRepositories.sandboxes(transactions),
            SandboxRepositories.templates(transactions),
            ledger,
            auditLog,
            engines.routing(),
            egress,
            clock,
            ids,
            new SandboxSettings(
                nodeId,
                configuration.replica().timeout(),
                configuration.sandbox().maxProcesses(),
                ledgerSettings.lease(),
                ledgerSettings.stopTime()),
            registration,
            telemetry,
            executor);
    KeptExecutions kept =
        new KeptExecutions(
            dataFolder.path().resolve("journal"), executionLimits(), System::nanoTime);
    ExecutionRepository executionRepository = SandboxRepositories.executions(transactions);
    SandboxFiles files =
        new SandboxFiles(
            sandboxes.sandboxes(), new FileAudit(transactions, auditLog, clock), fileLimits());
    Secrets secrets =
        new Secrets(
            transactions, SandboxRepositories.secrets(transactions), secretBox(), auditLog, clock);
    Executions executions =
        part(
            new Executions(
                transactions,
                executionRepository,
                sandboxes.sandboxes(),
                files,
                clock,
                ids,
                executionLimits(),
                kept,
                new OutcomeRecorder(
                    transactions, executionRepository, auditLog, clock, telemetry.instruments()),
                telemetry.spans(),
                secrets,
                configuration.redaction().enabled() ? Redaction.knownKeys() : Redaction.none(),
                executor));
    ExecutionInputs inputs =
        new ExecutionInputs(transactions, executions, kept, sandboxes.sandboxes(), auditLog, clock);
    sandboxes.listener().complete(executions);
    LlmSpend llmSpend =
        new LlmSpend(
            transactions,
            LedgerRepositories.llm(transactions),
            clock,
            telemetry.instruments()::ledgerBatch,
            (payer, refusal) ->
                telemetry
                    .instruments()
                    .quotaExceeded(
                        payer.value(), refusal.resource().name(), refusal.period().name()));
    for (Runnable check : engines.checks()) {
      executor.execute(check);
      repeat(executor, configuration.engines().guard().checkInterval(), check);
    }
    sandboxes.sweeper().recover();
    executions.keepEnded();
    repeat(
        executor,
        configuration.sandbox().sweepInterval(),
        () -> {
          sandboxes.sweeper().sweep();
          kept.sweep();
          llmSpend.releaseExpired();
        });

    Upkeep upkeep =
        new Upkeep(
            transactions, LedgerRepositories.upkeep(), clock, configuration.ledger().keepMonths());
    repeat(executor, FOLD_INTERVAL, upkeep::fold);
    repeat(executor, TIDY_INTERVAL, upkeep::tendMonths);

    ReconciliationRepository reconciliations = LedgerRepositories.reconciliations(transactions);
    startReconciler(transactions, reconciliations, engines.engines(), clock, telemetry, executor);

    libraries.join();
    OpenStreams openStreams =
        new OpenStreams(
            apiKeys,
            configuration.server().maxOpenStreams(),
            configuration.server().maxOpenStreamsPerTenant(),
            configuration.server().maxOpenStreamsPerKey());
    repeat(executor, KEY_CHECK_INTERVAL, openStreams::check);
    telemetry.instruments().observeStreams(openStreams::count);
    Limits limits = new Limits(LedgerRepositories.limits(transactions));
    telemetry.instruments().observeSandboxes(sandboxes.sandboxes()::active);
    telemetry.instruments().observeReplicas(SandboxRepositories.replicas(transactions)::countAlive);
    telemetry.instruments().observeQuotas(() -> quotas(sandboxes.sandboxes(), limits, clock));
    Calls calls = new Calls(apiKeys);
    Ports ports =
        new Ports(
            transactions,
            SandboxRepositories.portKeys(transactions),
            sandboxes.sandboxes(),
            apiKeys,
            auditLog,
            clock,
            ids,
            new SecureRandom(),
            portSettings(),
            telemetry.instruments(),
            executor);
    telemetry.instruments().observePorts(ports::count);
    EventStream events =
        new EventStream(configuration.execution().heartbeatInterval(), clock, openStreams);
    Api api =
        new Api(
            calls,
            events,
            openStreams,
            apiKeys,
            sandboxes.creator(),
            sandboxes.sandboxes(),
            new Templates(
                transactions,
                SandboxRepositories.templates(transactions),
                engines.routing(),
                auditLog,
                clock),
            sandboxes.engines(),
            executions,
            inputs,
            new OneOffRuns(sandboxes.creator(), sandboxes.sandboxes(), executions, executor),
            new TaskRunner(sandboxes.sandboxes(), executions, executionLimits(), executor),
            files,
            new Contexts(
                sandboxes.sandboxes(),
                files,
                transactions,
                auditLog,
                clock,
                ids,
                executionLimits().maxContexts()),
            ports,
            new Prices(LedgerRepositories.prices(transactions), ledgerSettings),
            new ModelPrices(LedgerRepositories.modelPrices(transactions)),
            new CostEstimator(SandboxRepositories.templates(transactions), ledger, clock),
            limits,
            llmSpend,
            LedgerRepositories.costs(transactions),
            new Adjustments(LedgerRepositories.adjustments()),
            reconciliations,
            ledger,
            startAlerts(transactions, auditLog, clock, telemetry, executor),
            secrets,
            auditLog,
            transactions,
            clock,
            telemetry,
            configuration.server().maxMessageBytes(),
            configuration.telemetry().prometheus());
    HttpFace http =
        new HttpFace(
            api,
            calls,
            events,
            executions,
            files,
            ports,
            openStreams,
            clock,
            telemetry.httpTelemetry(),
            configuration.server().maxMessageBytes(),
            configuration.cors().allowedOrigins());
    Configuration.Server settings = configuration.server();
    Transport transport =
        new Transport(
            new TransportSettings(
                settings.host(),
                settings.port(),
                settings.shutdownGrace().plus(LAST_WORDS),
                settings.maxConnections(),
                settings.maxStreams(),
                settings.idleTimeout(),
                settings.pingInterval(),
                settings.requestTimeout()),
            certificate,
            telemetry.instruments());
    open(transport, api, http, openStreams, executor);
  }

  /** Lets calls end by themselves for the grace; streams that are left are told why they end. */
  private void stop(Server server, OpenStreams openStreams) throws InterruptedException {
    CompletableFuture<Void> stopped = server.stop();
    openStreams.stop(configuration.server().shutdownGrace());
    stopped.join();
  }

  private Database database(DataFolder dataFolder) {
    Configuration.Database settings = configuration.database();
    PoolSettings pool =
        new PoolSettings(
            settings.poolSize(),
            settings.acquireTimeout(),
            settings.statementTimeout(),
            // Its locks are gone before others take over from a server that stands still.
            configuration.replica().timeout().dividedBy(2));
    if (settings.url().isEmpty()) {
      return Database.embedded(dataFolder, settings.embeddedPort(), pool, new SecureRandom());
    }
    return Database.outside(
        settings.url().get(),
        new Credentials(settings.ownerUser(), settings.ownerPassword().value()),
        new Credentials(settings.serverUser(), settings.serverPassword().value()),
        pool);
  }

  /** On a connection of its own: a sign of life must not wait behind the calls. */
  private Registration register(Database database, String nodeId, Engines engines) {
    Duration timeout = configuration.replica().timeout();
    HikariDataSource connection = part(database.reserved(timeout.dividedBy(2)));
    ReplicaRepository replicas =
        SandboxRepositories.replicas(new JooqTransactions(connection, new SecureRandom()));
    try {
      return part(
          Registration.start(replicas, nodeId, engines.places(), timeout, System::nanoTime));
    } catch (SandkeeperException e) {
      throw new StartException("cannot register as node-id " + nodeId + ": " + e.getMessage(), e);
    }
  }

  private CallRates callRates(Telemetry telemetry) {
    Configuration.RateLimit limit = configuration.server().rateLimit();
    return new CallRates(
        new RateLimiter(limit.requestsPerSecond(), limit.burst(), System::nanoTime),
        new RateLimiter(limit.failuresPerSecond(), limit.failureBurst(), System::nanoTime),
        kind -> telemetry.instruments().rateLimited(kind.label()));
  }

  private EngineAssembly engines(Path dataFolder, Telemetry telemetry) {
    List<EngineAssembly.Added> added = new ArrayList<>();
    added.add(new EngineAssembly.Added(localEngine(dataFolder), OptionalInt.empty()));
    if (configuration.e2bEngine().isSetUp()) {
      added.add(
          new EngineAssembly.Added(
              e2bEngine(dataFolder), OptionalInt.of(configuration.e2bEngine().maxSandboxes())));
    }
    added.addAll(otherEngines);
    return new EngineAssembly(added, configuration.engines(), telemetry.engines());
  }

  private SandboxEngine localEngine(Path dataFolder) {
    Configuration.LocalEngine settings = configuration.localEngine();
    return new LocalEngine(
        new LocalEngineSettings(
            dataFolder.toAbsolutePath().resolve("engine"),
            settings.runtime(),
            settings.otherRuntimes(),
            settings.node(),
            settings.java(),
            settings.r(),
            settings.cgroupRoot(),
            settings.cgroupParent(),
            settings.startTimeout(),
            settings.sampleInterval()));
  }

  private SandboxEngine e2bEngine(Path dataFolder) {
    Configuration.E2bEngine settings = configuration.e2bEngine();
    Supplier<String> key =
        settings.apiKeyFile().<Supplier<String>>map(KeyFile::new).orElse(settings.apiKey()::value);
    return new E2bEngine(
        new E2bEngineSettings(
            dataFolder.toAbsolutePath().resolve("e2b"),
            E2bSettings.of(settings.domain(), settings.apiUrl(), settings.sandboxUrl()),
            key,
            settings.template(),
            settings.sessionLimit(),
            settings.rotationMargin(),
            settings.startTimeout(),
            configuration.engines().guard().maxStarting()));
  }

  private ExecutionLimits executionLimits() {
    Configuration.Execution settings = configuration.execution();
    return new ExecutionLimits(
        new Retention(settings.journalBytes(), settings.keep()),
        new Retention(settings.maxJournalBytes(), settings.maxKeep()),
        settings.maxKept(),
        settings.maxKeptBytes(),
        settings.maxRunning(),
        settings.maxContexts(),
        settings.defaultDeadline());
  }

  private PortSettings portSettings() {
    Configuration.Ports settings = configuration.ports();
    return new PortSettings(
        settings.url().flatMap(PortUrl::parse), settings.maxConnections(), settings.idleTimeout());
  }

  private Optional<SecretBox> secretBox() {
    String key = configuration.secrets().key().value();
    return key.isEmpty() ? Optional.empty() : Optional.of(new SecretBox(key, new SecureRandom()));
  }

  private FileLimits fileLimits() {
    Configuration.Files settings = configuration.files();
    return new FileLimits(
        settings.maxUploadBytes(),
        settings.maxDownloadBytes(),
        settings.maxEntries(),
        settings.maxWatches(),
        settings.maxPartialUploads(),
        settings.keepPartialUploads());
  }

  private Webhooks startAlerts(
      JooqTransactions transactions,
      AuditLog auditLog,
      BillingClock clock,
      Telemetry telemetry,
      VirtualThreadExecutor executor) {
    Configuration.Alerts alerts = configuration.alerts();
    AlertSettings settings =
        new AlertSettings(
            alerts.maxWebhooks(), alerts.maxPending(), alerts.maxSending(), alerts.keep());
    Addresses addresses = new Addresses(new SystemLookup(), alerts.allowPrivateAddresses());
    Outbox outbox = AlertRepositories.outbox(transactions);
    SecureRandom random = new SecureRandom();
    HttpReceivers receivers = part(new HttpReceivers(ALERT_TIMEOUT));
    OutboxSender sender =
        part(
            new OutboxSender(
                transactions,
                outbox,
                addresses,
                receivers,
                auditLog,
                clock,
                random,
                settings,
                telemetry.instruments(),
                executor));
    telemetry.instruments().observePendingAlerts(outbox::countPending);
    repeat(executor, alerts.pollInterval(), sender::sendDue);
    repeat(executor, TIDY_INTERVAL, sender::tidy);
    return new Webhooks(
        transactions,
        AlertRepositories.webhooks(transactions),
        addresses,
        auditLog,
        clock,
        ids,
        random,
        settings);
  }

  private EgressProxy startEgress(
      JooqTransactions transactions,
      AuditLog auditLog,
      BillingClock clock,
      Telemetry telemetry,
      VirtualThreadExecutor executor) {
    Configuration.Egress egress = configuration.egress();
    UsedBytes usedBytes = SandboxRepositories.usedBytes(transactions);
    ConnectionLog log = new ConnectionLog(transactions, auditLog, usedBytes, clock);
    EgressProxy proxy =
        part(
            new EgressProxy(
                Destinations.ofPublic(new SystemLookup()),
                log,
                usedBytes,
                new EgressSettings(
                    egress.maxConnections(), egress.connectTimeout(), egress.idleTimeout()),
                telemetry.instruments(),
                System::nanoTime));
    telemetry.instruments().observeEgress(proxy::active);
    repeat(executor, EGRESS_CHECK_INTERVAL, proxy::check);
    repeat(executor, egress.auditInterval(), log::flush);
    return proxy;
  }

  private void startReconciler(
      JooqTransactions transactions,
      ReconciliationRepository repository,
      Engines engines,
      BillingClock clock,
      Telemetry telemetry,
      VirtualThreadExecutor executor) {
    Configuration.Drift settings = configuration.drift();
    Reconciler reconciler =
        new Reconciler(
            transactions,
            repository,
            engines,
            clock,
            telemetry.engines(),
            new Reconciler.Settings(settings.checkDelay(), settings.tolerance()));
    Duration interval = settings.checkDelay();
    repeat(
        executor,
        interval.compareTo(TIDY_INTERVAL) < 0 ? interval : TIDY_INTERVAL,
        reconciler::reconcile);
  }

  /** Runs a task now and then: again a while after it has ended, however long it took. */
  private static void repeat(VirtualThreadExecutor executor, Duration interval, Runnable task) {
    Runnable again =
        () -> {
          try {
            task.run();
          } catch (RuntimeException e) {
            logger.warn("What is done now and then failed this time", e);
          } finally {
            repeat(executor, interval, task);
          }
        };
    try {
      var _ = executor.schedule(again, interval.toNanos(), TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException _) {
      // The server stops.
    }
  }

  /**
   * Reads how the tenants' own limits of money stand, of those that run something; a metric names
   * no others, and nobody within a tenant.
   */
  private static List<QuotaReading> quotas(Sandboxes sandboxes, Limits limits, BillingClock clock) {
    return sandboxes.active().stream()
        .map(ActiveSandboxes::tenant)
        .distinct()
        .map(tenant ->
            new LimitQuery(new TenantId(tenant), Optional.of(LimitScope.TENANT), Optional.empty()))
        .flatMap(query ->
            limits
                .quota(query, new Page.Request(1000, Optional.empty()), clock.now())
                .items()
                .stream())
        .filter(quota -> quota.limit().spec().resource().isMoney())
        .map(quota ->
            new QuotaReading(
                quota.limit().spec().tenantId().value(),
                quota.limit().spec().resource().name(),
                quota.limit().spec().period().name(),
                quota.limit().spec().amount(),
                quota.spent(),
                quota.reserved()))
        .toList();
  }

  private void open(
      Transport transport,
      Api api,
      HttpFace http,
      OpenStreams openStreams,
      VirtualThreadExecutor executor) {
    ServerBuilder builder =
        transport
            .newServer(request -> Api.isUpload(request) || http.isForPort(request))
            .blockingTaskExecutor(executor, false);
    api.addTo(builder);
    http.addTo(builder);
    Server opened = builder.build();
    try {
      opened.start().join();
    } catch (CompletionException e) {
      throw new StartException(
          "cannot listen on "
              + configuration.server().host()
              + " port "
              + configuration.server().port()
              + "; is it taken? Set server.port, or SANDKEEPER_SERVER_PORT, to another",
          e.getCause());
    }
    part(() -> stop(opened, openStreams));
    server = opened;
  }
}
