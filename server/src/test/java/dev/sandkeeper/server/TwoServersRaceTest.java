package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.LimitResource;
import dev.sandkeeper.v1.Sandbox;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: a limit is one limit, however many servers admit against it. Method: callers of two servers
// start from a barrier while an observer samples the counters throughout. TwoServersGuardTest shows
// that the same race fails without the guards.
final class TwoServersRaceTest {
  @RegisterExtension static final TwoServers servers = new TwoServers(true);

  private static final int ROUNDS = 25;
  private static final int CALLERS = 8;
  private static final int SANDBOX_ROUNDS = 3;
  private static final int SANDBOX_CALLERS = 4;

  @Test
  void oneOfNReservationsOverTwoServersFindsNoPlace() throws Exception {
    for (int round = 0; round < ROUNDS; round++) {
      Attribution user = TwoServersCalls.user("spender-" + round);
      TwoServersCalls.limit(
          servers.admin(),
          user,
          LimitResource.LIMIT_RESOURCE_LLM_SPEND,
          (CALLERS - 1) * TwoServersCalls.AMOUNT);

      TwoServers.Race race = servers.race(CALLERS, caller -> TwoServersCalls.reserve(caller, user));

      assertThat(race.refused()).as("refused in round %s", round).isEqualTo(1);
      assertThat(race.granted()).isEqualTo(CALLERS - 1);
      assertThat(race.looks()).isPositive();
      // All that there was is held, and never more was.
      assertThat(race.mostOver()).isZero();
    }
  }

  @Test
  void oneOfNSandboxesOverTwoServersFindsNoPlace() throws Exception {
    Attribution user = TwoServersCalls.user("runner");
    TwoServersCalls.limit(
        servers.admin(),
        user,
        LimitResource.LIMIT_RESOURCE_CONCURRENT_SANDBOXES,
        SANDBOX_CALLERS - 1);
    for (int round = 0; round < SANDBOX_ROUNDS; round++) {
      Map<Sandbox, Caller> created = new ConcurrentHashMap<>();

      TwoServers.Race race =
          servers.race(
              SANDBOX_CALLERS,
              caller ->
                  created.put(caller.create(request -> request.setAttribution(user)), caller));

      assertThat(race.refused()).as("refused in round %s", round).isEqualTo(1);
      assertThat(created).hasSize(SANDBOX_CALLERS - 1);
      assertThat(race.mostOver()).isZero();
      created.forEach((sandbox, caller) -> caller.terminate(sandbox.getSandboxId()));
    }
  }
}
