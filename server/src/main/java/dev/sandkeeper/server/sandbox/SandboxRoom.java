package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.egress.EgressGateway;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.telemetry.Telemetry;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledExecutorService;

/**
 * The parts of this room, put together.
 *
 * @param creator creates sandboxes
 * @param sandboxes finds, pauses, resumes and ends them
 * @param sweeper brings books and machine together
 * @param engines tells how the engines stand
 * @param listener to be completed with who is told of ends, before anything is created or recovered
 */
public record SandboxRoom(
    SandboxCreator creator,
    Sandboxes sandboxes,
    Sweeper sweeper,
    EngineStatuses engines,
    CompletableFuture<SandboxListener> listener) {

  /**
   * Puts the room together.
   *
   * @param executor runs what is due when leases end; its tasks may block
   */
  public static SandboxRoom create(
      Transactions transactions,
      SandboxRepository repository,
      TemplateRepository templates,
      Ledger ledger,
      AuditLog auditLog,
      EngineRouting routing,
      EgressGateway gateway,
      BillingClock clock,
      IdGenerator ids,
      SandboxSettings settings,
      Registration registration,
      Telemetry telemetry,
      ScheduledExecutorService executor) {
    Engines engines = routing.engines();
    Failovers failovers = new Failovers(telemetry.engines());
    SandboxAudit audit = new SandboxAudit(auditLog, clock);
    LiveSandboxes live = new LiveSandboxes();
    CompletableFuture<SandboxListener> listener = new CompletableFuture<>();
    SandboxEnder ender =
        new SandboxEnder(
            transactions,
            repository,
            ledger,
            audit,
            clock,
            settings,
            live,
            listener,
            telemetry.instruments());
    SandboxPauser pauser =
        new SandboxPauser(transactions, engines, ledger, audit, clock, telemetry.instruments());
    LeaseKeeper leaseKeeper =
        new LeaseKeeper(transactions, ledger, clock, settings, pauser, ender, listener, executor);
    SandboxCreator creator =
        new SandboxCreator(
            transactions,
            repository,
            templates,
            ledger,
            audit,
            routing,
            new SandboxStarter(
                transactions, repository, ledger, audit, engines, clock, settings, telemetry),
            failovers,
            gateway,
            clock,
            ids,
            settings,
            registration,
            live,
            leaseKeeper,
            ender,
            telemetry);
    Sweeper sweeper =
        new Sweeper(
            transactions,
            repository,
            engines,
            gateway,
            clock,
            settings,
            live,
            leaseKeeper,
            ender,
            listener,
            telemetry.instruments());
    Sandboxes sandboxes = new Sandboxes(settings.nodeId(), repository, live, leaseKeeper, ender);
    return new SandboxRoom(
        creator, sandboxes, sweeper, new EngineStatuses(engines, repository, failovers), listener);
  }
}
