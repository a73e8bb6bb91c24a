package dev.sandkeeper.server;

import com.linecorp.armeria.server.Server;
import com.linecorp.armeria.server.ServerBuilder;
import com.zaxxer.hikari.HikariDataSource;
import dev.sandkeeper.server.access.ApiKeys;
import dev.sandkeeper.server.alert.Addresses;
import dev.sandkeeper.server.alert.AlertSettings;
import dev.sandkeeper.server.alert.Outbox;
import dev.sandkeeper.server.alert.OutboxSender;
import dev.sandkeeper.server.alert.SystemLookup;
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
import dev.sandkeeper.server.engine.SandboxEngine;
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
import dev.sandkeeper.server.ledger.Upkeep;
import dev.sandkeeper.server.sandbox.CostEstimator;
import dev.sandkeeper.server.sandbox.Registration;
import dev.sandkeeper.server.sandbox.ReplicaRepository;
import dev.sandkeeper.server.sandbox.SandboxRoom;
import dev.sandkeeper.server.sandbox.SandboxSettings;
import dev.sandkeeper.server.sandbox.Sandboxes;
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
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Puts the server together, from the configuration to the open port, and takes it apart again. */
final class ServerAssembly implements AutoCloseable {
  private static final Logger logger = LoggerFactory.getLogger(ServerAssembly.class);

  /** The statuses of streams that end with the grace may take this long to reach their callers. */
  private static final Duration LAST_WORDS = Duration.ofSeconds(5);

  /** With the time that a look takes, well below the five seconds that are promised. */
  private static final Duration KEY_CHECK_INTERVAL = Duration.ofSeconds(2);

  private static final Duration ALERT_TIMEOUT = Duration.ofSeconds(10);
  private static final Duration TIDY_INTERVAL = Duration.ofMinutes(1);

  /** Reports read what is younger one by one. */
  private static final Duration FOLD_INTERVAL = Duration.ofSeconds(10);

  private final Configuration configuration;
  private final IdGenerator ids = new IdGenerator(new SecureRandom());
  private final Deque<AutoCloseable> parts = new ArrayDeque<>();
  private int port;

  private ServerAssembly(Configuration configuration) {
    this.configuration = configuration;
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
    ServerAssembly assembly = new ServerAssembly(configuration);
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
    return port;
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
        new ApiKeys(transactions, SandboxRepositories.apiKeys(transactions), auditLog, clock, ids);
    configuration.bootstrapKeyFile().ifPresent(file -> BootstrapKey.ensure(apiKeys, file));

    SandboxEngine engine = part(localEngine(dataFolder.path()));
    VirtualThreadExecutor executor = part(new VirtualThreadExecutor());
    Registration registration = register(database, nodeId, engine);
    SandboxRoom sandboxes =
        SandboxRoom.create(
            transactions,
            SandboxRepositories.sandboxes(transactions),
            SandboxRepositories.templates(transactions),
            ledger,
            auditLog,
            engine,
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
                telemetry.spans()));
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

    libraries.join();
    OpenStreams openStreams = new OpenStreams(apiKeys);
    repeat(executor, KEY_CHECK_INTERVAL, openStreams::check);
    telemetry.instruments().observeStreams(openStreams::count);
    Limits limits = new Limits(LedgerRepositories.limits(transactions));
    telemetry.instruments().observeSandboxes(sandboxes.sandboxes()::active);
    telemetry.instruments().observeReplicas(SandboxRepositories.replicas(transactions)::countAlive);
    telemetry.instruments().observeQuotas(() -> quotas(sandboxes.sandboxes(), limits, clock));
    Calls calls = new Calls(apiKeys);
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
            SandboxRepositories.templates(transactions),
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
            new Prices(LedgerRepositories.prices(transactions), ledgerSettings),
            new ModelPrices(LedgerRepositories.modelPrices(transactions)),
            new CostEstimator(SandboxRepositories.templates(transactions), ledger, clock),
            limits,
            llmSpend,
            LedgerRepositories.costs(transactions),
            new Adjustments(LedgerRepositories.adjustments()),
            ledger,
            startAlerts(transactions, auditLog, clock, telemetry, executor),
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
  private Registration register(Database database, String nodeId, SandboxEngine engine) {
    Duration timeout = configuration.replica().timeout();
    HikariDataSource connection = part(database.reserved(timeout.dividedBy(2)));
    ReplicaRepository replicas =
        SandboxRepositories.replicas(new JooqTransactions(connection, new SecureRandom()));
    try {
      return part(Registration.start(replicas, nodeId, engine.place(), timeout, System::nanoTime));
    } catch (SandkeeperException e) {
      throw new StartException("cannot register as node-id " + nodeId + ": " + e.getMessage(), e);
    }
  }

  private SandboxEngine localEngine(Path dataFolder) {
    Configuration.LocalEngine settings = configuration.localEngine();
    return new LocalEngine(
        new LocalEngineSettings(
            dataFolder.toAbsolutePath().resolve("engine"),
            settings.runtime(),
            settings.node(),
            settings.java(),
            settings.r(),
            settings.cgroupRoot(),
            settings.cgroupParent(),
            settings.startTimeout(),
            settings.sampleInterval()));
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
        transport.newServer(Api::isUpload).blockingTaskExecutor(executor, false);
    api.addTo(builder);
    http.addTo(builder);
    Server server = builder.build();
    try {
      server.start().join();
    } catch (CompletionException e) {
      throw new StartException(
          "cannot listen on "
              + configuration.server().host()
              + " port "
              + configuration.server().port()
              + "; is it taken? Set server.port, or SANDKEEPER_SERVER_PORT, to another",
          e.getCause());
    }
    part(() -> stop(server, openStreams));
    port = server.activeLocalPort();
  }
}
