package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.v1.CheckInvariantsRequest;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.LimitResource;
import dev.sandkeeper.v1.LimitScope;
import dev.sandkeeper.v1.SetLimitRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;

/**
 * Load on two servers while they, their database and the ways between them are broken, round by
 * round. At the end all that callers were told stands in the books, once, and the books are sound.
 * Started by {@code deploy/chaos}; not one of the tests that always run.
 *
 * <p>With the mutation {@code answer-before-commit} the database answers before its log is written,
 * and the program must notice that something is lost: else it would notice nothing ever.
 */
class Chaos {
  private static final Duration PATIENCE = Duration.ofSeconds(90);
  private static final int SPENDERS = 4;
  private static final int MUTATION_ROUNDS = 3;
  private static final long LIMIT_NANO_USD = 1_000_000_000_000_000L;

  private static final int ROUNDS = Integer.getInteger("chaos.rounds", 20);
  private static final int ANSWERS_PER_ROUND = 200;
  private static final String MUTATION = System.getProperty("chaos.mutation", "");

  private final Acknowledged acknowledged = new Acknowledged();
  private final AtomicBoolean over = new AtomicBoolean();

  private interface Blow {
    void fall(ChaosServers servers) throws Exception;
  }

  /** A way to break something, and what it is called. */
  private record Trouble(String name, Blow blow) {}

  private static final List<Trouble> TROUBLES =
      List.of(
          new Trouble("first server and its database killed", ChaosServers::killFirst),
          new Trouble("connections of callers cut", ChaosServers::cutCallers),
          new Trouble("database killed", ChaosServers::killDatabase),
          new Trouble("second server killed", ChaosServers::killSecond),
          new Trouble("connections to the database cut", ChaosServers::cutDatabase),
          new Trouble("second server stood still", ChaosServers::stopSecondForAWhile),
          new Trouble("second server killed and away", ChaosServers::killSecondForLong));

  @Test
  void nothingAcknowledgedIsMissing() throws Exception {
    assertThat(MUTATION).as("chaos.mutation").isIn("", "answer-before-commit");
    boolean mutated = !MUTATION.isEmpty();
    List<Trouble> troubles =
        mutated ? List.of(new Trouble("database killed", ChaosServers::killDatabase)) : TROUBLES;
    try (ChaosServers servers = new ChaosServers(mutated)) {
      limit(servers);
      try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
        List<Future<?>> callers = start(executor, servers, mutated);
        try {
          int rounds = mutated ? MUTATION_ROUNDS : ROUNDS;
          for (int round = 1; round <= rounds; round++) {
            round(servers, round, troubles.get((round - 1) % troubles.size()));
          }
        } finally {
          over.set(true);
        }
        for (Future<?> caller : callers) {
          caller.get();
        }
      }
      say("ran: " + acknowledged);
      if (mutated) {
        assertNoticed(servers);
      } else {
        servers.endSandboxes();
        assertSound(servers);
      }
    }
  }

  private void limit(ChaosServers servers) {
    var _ =
        servers
            .first()
            .client()
            .quotas()
            .setLimit(
                SetLimitRequest.newBuilder()
                    .setScope(LimitScope.LIMIT_SCOPE_TENANT)
                    .setResource(LimitResource.LIMIT_RESOURCE_ALL_SPEND)
                    .setPeriod(LimitPeriod.LIMIT_PERIOD_LIFETIME)
                    .setAmountNanoUsd(LIMIT_NANO_USD)
                    .build());
  }

  private List<Future<?>> start(
      ExecutorService executor, ChaosServers servers, boolean spendersOnly) {
    List<Future<?>> callers = new ArrayList<>();
    for (int i = 0; i < SPENDERS; i++) {
      callers.add(submit(executor, servers, i, ChaosCaller::spend));
    }
    for (int server = 0; server < 2 && !spendersOnly; server++) {
      int own = server;
      callers.add(submit(executor, servers, SPENDERS + own, caller -> caller.run(own)));
    }
    return callers;
  }

  private Future<?> submit(
      ExecutorService executor,
      ChaosServers servers,
      int number,
      java.util.function.Consumer<ChaosCaller> work) {
    return executor.submit(() -> {
      try (ChaosCaller caller =
          new ChaosCaller(servers.ways(), servers.key(), acknowledged, over, number)) {
        work.accept(caller);
      }
    });
  }

  /** Lets some work be done, breaks something in the middle of it, and waits until work is done. */
  private void round(ChaosServers servers, int number, Trouble trouble) throws Exception {
    int before = acknowledged.answers();
    await().atMost(PATIENCE).until(() -> acknowledged.answers() >= before + ANSWERS_PER_ROUND);
    long start = System.nanoTime();
    trouble.blow().fall(servers);
    int broken = acknowledged.answers();
    await().atMost(PATIENCE).until(() -> acknowledged.answers() > broken);
    double seconds = (System.nanoTime() - start) / 1e9;
    say(
        String.format(
            Locale.ROOT,
            "round %2d: %-38s answers %6d (+%d), %.1f s until work went on",
            number,
            trouble.name(),
            acknowledged.answers(),
            acknowledged.answers() - before,
            seconds));
  }

  private void assertSound(ChaosServers servers) throws Exception {
    ServerProcess server = servers.first();
    assertThat(acknowledged.missing(server)).as("what callers were told").isEmpty();
    assertThat(
            server
                .client()
                .admin()
                .checkInvariants(CheckInvariantsRequest.getDefaultInstance())
                .getViolationsList())
        .as("invariants")
        .isEmpty();
    assertThat(server.query("select hold_id from hold where state = 'OPEN'"))
        .as("open holds without a live sandbox")
        .isEmpty();
    for (String id : server.query("select sandbox_id from sandbox")) {
      assertThat(ServerProcess.processes(id)).as("processes of %s", id).isEmpty();
    }
    say(
        "sound: nothing acknowledged is missing, no invariant is broken, no hold is left; "
            + String.join(
                ", ",
                server.query(
                    "select count(*) || ' sandboxes ended ' || coalesce(end_reason, '-') from"
                        + " sandbox group by end_reason order by 1")));
  }

  private void assertNoticed(ChaosServers servers) throws Exception {
    List<String> missing = acknowledged.missing(servers.first());
    assertThat(missing).as("what the mutation lost").isNotEmpty();
    say("noticed: " + missing.size() + " contradictions, such as " + missing.getFirst());
  }

  @SuppressWarnings("SystemOut") // What this program is for.
  private static void say(String line) {
    System.out.println("chaos: " + line);
  }
}
