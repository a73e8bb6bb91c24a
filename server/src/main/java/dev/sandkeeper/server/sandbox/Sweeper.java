package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transactions;
import dev.sandkeeper.server.egress.EgressGateway;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Engines;
import dev.sandkeeper.server.engine.RemoteEnd;
import dev.sandkeeper.server.engine.UsageReading;
import dev.sandkeeper.server.ledger.EndReason;
import dev.sandkeeper.server.telemetry.Instruments;
import dev.sandkeeper.server.telemetry.LogKeys;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings the books and the machine together: what the books say lives but does not is settled, what
 * lives and is in no book is ended. It asks the engines what really runs and believes nothing else.
 * What a silent server on the same database left is claimed and ended, and what another has claimed
 * from this one is let go.
 *
 * <p>The same pass serves the start after a crash, when nothing is live yet and everything that
 * still runs is taken up, and the regular sweep.
 */
public final class Sweeper {
  private static final Logger logger = LoggerFactory.getLogger(Sweeper.class);
  private static final Duration STARTING_GRACE = Duration.ofMinutes(1);
  private static final int CLAIM_BATCH = 16;

  /** How many sandboxes are dealt with at a time: each may wait for its engine. */
  private static final int AT_ONCE = 32;

  private final Transactions transactions;
  private final SandboxRepository repository;
  private final Engines engines;
  private final EgressGateway gateway;
  private final BillingClock clock;
  private final SandboxSettings settings;
  private final LiveSandboxes live;
  private final LeaseKeeper leaseKeeper;
  private final SandboxEnder ender;
  private final CompletableFuture<SandboxListener> listener;
  private final Instruments instruments;
  private final Strays strays;

  /** Those that could not be taken up yet, as their engine or the database could not be asked. */
  private final Set<SandboxId> waiting = ConcurrentHashMap.newKeySet();

  /** Those of them that their engine has taken up. */
  private final Map<SandboxId, EngineSandbox> adopted = new ConcurrentHashMap<>();

  private final ReentrantLock sweeping = new ReentrantLock();

  Sweeper(
      Transactions transactions,
      SandboxRepository repository,
      Engines engines,
      EgressGateway gateway,
      BillingClock clock,
      SandboxSettings settings,
      LiveSandboxes live,
      LeaseKeeper leaseKeeper,
      SandboxEnder ender,
      CompletableFuture<SandboxListener> listener,
      Instruments instruments) {
    this.transactions = transactions;
    this.repository = repository;
    this.engines = engines;
    this.gateway = gateway;
    this.clock = clock;
    this.settings = settings;
    this.live = live;
    this.leaseKeeper = leaseKeeper;
    this.ender = ender;
    this.listener = listener;
    this.instruments = instruments;
    this.strays =
        new Strays(repository, engines, live, settings.nodeId(), waiting::contains, instruments);
  }

  /**
   * Takes up what an earlier server left: adopts what still runs, settles what does not, ends what
   * nobody knows. Called once, before the first call is served.
   */
  public void recover() {
    // One that cannot be dealt with now is left to the sweeps; the others must not wait for it.
    forEach("recover", repository.liveOn(settings.nodeId()), this::recover);
    strays.end();
  }

  /** Deals with many, several at once, and waits for all: paid time goes on meanwhile. */
  private void forEach(String pass, List<Sandbox> sandboxes, Consumer<Sandbox> work) {
    Semaphore turns = new Semaphore(AT_ONCE);
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      for (Sandbox sandbox : sandboxes) {
        turns.acquireUninterruptibly();
        threads.execute(() -> {
          try {
            guarded(pass + " " + sandbox.sandboxId(), () -> work.accept(sandbox));
          } finally {
            turns.release();
          }
        });
      }
    }
  }

  private void recover(Sandbox sandbox) {
    switch (sandbox.state()) {
      case PENDING -> giveUp(sandbox);
      case RUNNING, PAUSED -> adoptOrSettle(sandbox);
      case STOPPING -> settleGone(sandbox, sandbox.endReason().orElse(EndReason.ORPHANED));
      case TERMINATED, FAILED -> throw new IllegalStateException("not live: " + sandbox);
    }
  }

  /** Looks once at everything. What fails is looked at again by the next sweep. */
  public void sweep() {
    // While the database is away a sweep takes longer than the time between two of them.
    if (!sweeping.tryLock()) {
      return;
    }
    try {
      guarded("settle", ender::settleUnsettled);
      guarded("lost", this::settleLost);
      guarded("claim", this::claim);
      guarded("claimed", this::endClaimed);
      strays.end();
    } finally {
      sweeping.unlock();
    }
  }

  private void adoptOrSettle(Sandbox sandbox) {
    Optional<EngineSandbox> running = Optional.ofNullable(adopted.remove(sandbox.sandboxId()));
    if (!clock.now().isBefore(sandbox.paidUntil())) {
      running = Optional.empty();
    } else if (running.isEmpty()) {
      running = adopt(sandbox);
    }
    if (running.isPresent()) {
      takeUp(sandbox, running.get());
    } else {
      settleGone(sandbox, EndReason.ORPHANED);
    }
  }

  /** What it needs of the database comes first: where that fails, the next sweeps go on here. */
  private void takeUp(Sandbox sandbox, EngineSandbox engineSandbox) {
    LiveSandbox taken = new LiveSandbox(sandbox, engineSandbox, clock);
    try {
      listener.join().takeUpExecutions(taken);
    } catch (SandkeeperException e) {
      adopted.put(sandbox.sandboxId(), engineSandbox);
      waiting.add(sandbox.sandboxId());
      throw e;
    }
    SandboxNetwork.open(gateway, sandbox, engineSandbox);
    live.add(taken);
    leaseKeeper.keep(taken);
    logger.atInfo().addKeyValue(LogKeys.SANDBOX, sandbox.sandboxId()).log("Sandbox adopted");
  }

  /** While the engine cannot say whether it runs, the next sweeps ask again. */
  private Optional<EngineSandbox> adopt(Sandbox sandbox) {
    try {
      return engines
          .require(sandbox.engine())
          .engine()
          .adopt(sandbox.sandboxId(), sandbox.generation());
    } catch (EngineException e) {
      if (e.kind() == EngineException.Kind.UNAVAILABLE) {
        waiting.add(sandbox.sandboxId());
      }
      throw e;
    }
  }

  /**
   * Settles a sandbox that no longer runs, or runs past what it paid for; never bills past that.
   */
  private void settleGone(Sandbox sandbox, EndReason reason) {
    Optional<UsageReading> usage = destroy(sandbox);
    Instant now = clock.now();
    Instant endTime = now.isBefore(sandbox.paidUntil()) ? now : sandbox.paidUntil();
    ender.settle(sandbox, usage, endTime, reason, Optional.empty());
    instruments.sandboxOrphaned("gone");
  }

  /**
   * Ends a start that did not come to its end: nothing could be run in it, so nothing is billed.
   */
  private void giveUp(Sandbox sandbox) {
    destroy(sandbox);
    ender.settle(sandbox, Optional.empty(), clock.now(), EndReason.ORPHANED, Optional.empty());
  }

  /** Of an engine that this server no longer has it waits for the end of the paid time. */
  private Optional<UsageReading> destroy(Sandbox sandbox) {
    if (engines.find(sandbox.engine()).isEmpty() && !clock.now().isBefore(sandbox.paidUntil())) {
      return Optional.empty();
    }
    return engines.require(sandbox.engine()).engine().destroy(sandbox.sandboxId());
  }

  /** Deals with rows of this machine that are live in the books and not here. */
  private void settleLost() {
    Instant startedBefore = clock.now().minus(STARTING_GRACE);
    List<LiveSandbox> running = live.all().stream().filter(found -> !found.ending()).toList();
    List<Sandbox> owned = repository.liveOn(settings.nodeId());
    Set<SandboxId> ids = owned.stream().map(Sandbox::sandboxId).collect(Collectors.toSet());
    waiting.retainAll(ids);
    adopted.keySet().retainAll(ids);
    for (LiveSandbox sandbox : running) {
      if (!ids.contains(sandbox.id()) && !sandbox.ending()) {
        guarded("fenced " + sandbox.id(), () -> letGo(sandbox));
      }
    }
    List<Sandbox> lost = owned.stream().filter(sandbox -> isLost(sandbox, startedBefore)).toList();
    forEach("lost", lost, this::settleLost);
  }

  private boolean isLost(Sandbox sandbox, Instant startedBefore) {
    SandboxId id = sandbox.sandboxId();
    boolean known = live.knows(id) || ender.isUnsettled(id);
    boolean starting = !sandbox.createTime().isBefore(startedBefore) && !waiting.contains(id);
    return !known && !starting;
  }

  private void settleLost(Sandbox sandbox) {
    if (sandbox.state() == SandboxState.PENDING) {
      giveUp(sandbox);
    } else if (waiting.remove(sandbox.sandboxId())) {
      recover(sandbox);
    } else {
      settleGone(sandbox, sandbox.endReason().orElse(EndReason.ORPHANED));
    }
  }

  /**
   * Ends what another server has taken over, and has ended by now or will: this one was silent for
   * too long. Books nothing, as the books are the other's.
   */
  private void letGo(LiveSandbox sandbox) {
    try {
      ender.end(sandbox, EndReason.ORPHANED, Duration.ZERO, Optional.empty());
    } catch (SandkeeperException e) {
      if (e.reason() != ErrorReason.SANDBOX_TAKEN_OVER) {
        throw e;
      }
      instruments.sandboxOrphaned("taken_over");
    }
  }

  /** Takes over what silent servers left. */
  private void claim() {
    int claimed;
    do {
      claimed =
          transactions.single(transaction ->
              repository.claim(
                  transaction, settings.nodeId(), settings.replicaTimeout(), CLAIM_BATCH));
    } while (claimed == CLAIM_BATCH);
  }

  private void endClaimed() {
    for (SandboxRepository.Claimed claimed : repository.claimedBy(settings.nodeId())) {
      Sandbox sandbox = claimed.sandbox();
      if (!ender.isUnsettled(sandbox.sandboxId())) {
        guarded("claimed " + sandbox.sandboxId(), () -> endClaimed(sandbox, claimed.places()));
      }
    }
  }

  /** Ends its processes where they can be reached; where not, they end when the paid time does. */
  private void endClaimed(Sandbox sandbox, Optional<String> places) {
    RemoteEnd end =
        places
            .flatMap(all -> Engines.placeOf(sandbox.engine(), all))
            .flatMap(place ->
                engines
                    .find(sandbox.engine())
                    .map(engine -> engine.end(sandbox.sandboxId(), place)))
            .orElseGet(RemoteEnd.OutOfReach::new);
    Instant now = clock.now();
    boolean paid = now.isBefore(sandbox.paidUntil());
    switch (end) {
      case RemoteEnd.Gone gone ->
          settleClaimed(sandbox, gone.usage(), paid ? now : sandbox.paidUntil());
      case RemoteEnd.OutOfReach _ -> {
        if (!paid) {
          settleClaimed(sandbox, Optional.empty(), sandbox.paidUntil());
        }
      }
    }
  }

  private void settleClaimed(Sandbox sandbox, Optional<UsageReading> usage, Instant endTime) {
    EndReason reason = sandbox.endReason().orElse(EndReason.ORPHANED);
    ender.settle(sandbox, usage, endTime, reason, Optional.empty());
    instruments.sandboxOrphaned("claimed");
  }

  /** Does one thing of many, and goes on when it fails. */
  static void guarded(String pass, Runnable work) {
    try {
      work.run();
    } catch (RuntimeException e) {
      logger
          .atWarn()
          .addKeyValue("pass", pass)
          .addKeyValue("engineFault", e instanceof EngineException)
          .setCause(e)
          .log("A pass of the sweeper failed; the next one tries again");
    }
  }
}
