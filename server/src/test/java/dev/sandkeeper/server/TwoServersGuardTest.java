package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.ledger.LedgerGuardTest;
import dev.sandkeeper.v1.Attribution;
import dev.sandkeeper.v1.LimitResource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: the race over two servers has teeth. Method: the guards are taken out of this class's own
// database, and the same race must then be seen to fail.
final class TwoServersGuardTest {
  @RegisterExtension static final TwoServers servers = new TwoServers(false);

  private static final int CALLERS = 8;

  @Test
  void withoutGuardsTheObserverSeesTheLimitPassed() throws Exception {
    LedgerGuardTest.removeGuards(servers.database());
    servers
        .database()
        .ownerContext()
        .execute("alter table quota_period drop constraint quota_period_limit_check");
    Attribution user = TwoServersCalls.user("spender");
    TwoServersCalls.limit(
        servers.admin(),
        user,
        LimitResource.LIMIT_RESOURCE_LLM_SPEND,
        (CALLERS - 1) * TwoServersCalls.AMOUNT);

    TwoServers.Race race = servers.race(CALLERS, caller -> TwoServersCalls.reserve(caller, user));

    assertThat(race.refused()).isZero();
    assertThat(race.mostOver()).isEqualTo(TwoServersCalls.AMOUNT);
  }
}
