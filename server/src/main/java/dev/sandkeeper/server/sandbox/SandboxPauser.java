package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.ledger.EngineCapacity;
import dev.sandkeeper.server.ledger.Extension;
import dev.sandkeeper.server.ledger.Ledger;
import dev.sandkeeper.server.telemetry.Instruments;
import java.util.Optional;

/**
 * Holds sandboxes still and lets them go on, in the engine and in the books: first still, then the
 * books; first the books, then on. So nothing runs at the price of paused time, whenever a server
 * is killed in between. The caller has the sandbox's turn.
 */
final class SandboxPauser {
  private final Transactions transactions;
  private final Engines engines;
  private final Ledger ledger;
  private final SandboxAudit audit;
  private final BillingClock clock;
  private final Instruments instruments;

  SandboxPauser(
      Transactions transactions,
      Engines engines,
      Ledger ledger,
      SandboxAudit audit,
      BillingClock clock,
      Instruments instruments) {
    this.transactions = transactions;
    this.engines = engines;
    this.ledger = ledger;
    this.audit = audit;
    this.clock = clock;
    this.instruments = instruments;
  }

  /**
   * Pauses a sandbox and renews its lease; renews that of one that is paused. When the books cannot
   * be had it stays still all the same: they may have it as paused, should only their answer be
   * lost. Repeating the call settles that.
   *
   * @param principal who asked for it; empty when the server did
   * @throws EngineException when it cannot be held still; it then runs on, or has ended
   */
  Extension pause(LiveSandbox sandbox, Optional<Principal> principal) {
    UsageReading usage =
        instruments.timedEngineCall(sandbox.sandbox().engine(), "pause", sandbox.engine()::pause);
    Extension extension =
        instruments.timedLedgerCall(
            "pause",
            () ->
                transactions.call(transaction -> {
                  Extension answer =
                      ledger.pause(
                          transaction,
                          sandbox.id(),
                          sandbox.sandbox().generation(),
                          usage,
                          clock.now());
                  if (!(answer instanceof Extension.Fenced) && !sandbox.pausedInBooks()) {
                    audit.paused(transaction, principal, sandbox.sandbox());
                  }
                  return answer;
                }));
    if (!(extension instanceof Extension.Fenced)) {
      sandbox.pausedInBooks(true);
    }
    return extension;
  }

  /** Has the books pay for a paused sandbox's going on; it stands still yet. */
  Extension payForResume(LiveSandbox sandbox, Principal principal) {
    UsageReading usage = sandbox.engine().usage();
    String engine = sandbox.sandbox().engine();
    Extension extension =
        instruments.timedLedgerCall(
            "resume",
            () ->
                transactions.call(transaction -> {
                  Extension answer =
                      ledger.resume(
                          transaction,
                          sandbox.id(),
                          sandbox.sandbox().generation(),
                          usage,
                          new EngineCapacity(engine, engines.capacity(engine)),
                          clock.now());
                  switch (answer) {
                    case Extension.Renewed _, Extension.Shortened _ ->
                        audit.resumed(transaction, principal, sandbox.sandbox());
                    case Extension.Refused _ ->
                        audit.notResumed(
                            transaction, principal, sandbox.sandbox(), ErrorReason.QUOTA_EXCEEDED);
                    case Extension.Full _ ->
                        audit.notResumed(
                            transaction, principal, sandbox.sandbox(), ErrorReason.ENGINE_FULL);
                    case Extension.Fenced _ -> {}
                  }
                  return answer;
                }));
    switch (extension) {
      case Extension.Renewed _, Extension.Shortened _ -> sandbox.pausedInBooks(false);
      case Extension.Refused refused ->
          instruments.quotaExceeded(
              sandbox.sandbox().tenantId().value(),
              refused.refusal().resource().name(),
              refused.refusal().period().name());
      case Extension.Full _, Extension.Fenced _ -> {}
    }
    return extension;
  }

  /**
   * Lets a sandbox go on whose going on is paid for.
   *
   * @throws EngineException when it does not; it is still or has ended
   */
  void goOn(LiveSandbox sandbox) {
    instruments.timedEngineCall(
        sandbox.sandbox().engine(),
        "resume",
        () -> {
          sandbox.engine().resume();
          return sandbox;
        });
  }
}
