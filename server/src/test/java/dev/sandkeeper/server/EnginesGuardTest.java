package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.FakeCloud;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.v1.Sandbox;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: the race for an engine's places has teeth. Method: the lock is taken out of this class's
// own
// database, and the same race must then be seen to fail.
final class EnginesGuardTest {
  private static final int PLACES = 5;
  private static final int CALLERS = 8;

  private static final FakeCloud cloud = new FakeCloud();

  @RegisterExtension
  static final TwoServers servers =
      new TwoServers(
          true,
          Map.of(),
          List.of(added(new FakeEngine("cloud", cloud), PLACES)),
          List.of(added(new FakeEngine("cloud", cloud), PLACES)));

  @Test
  void withoutTheLockMoreRunThanMay() throws Exception {
    String name = EngineFixture.template(servers.admin(), template -> template.setEngine("cloud"));
    // Everybody counts before anybody's count is committed.
    servers
        .database()
        .ownerContext()
        .execute(
            """
            create or replace function engine_occupied(p_engine text) returns int
            language plpgsql volatile as $$
            declare
              v_count int;
            begin
              select count(*) into v_count from sandbox s
              where s.engine = p_engine and s.state in ('PENDING', 'RUNNING', 'STOPPING');
              perform pg_sleep(0.5);
              return v_count;
            end
            $$
            """);

    Map<Sandbox, Caller> created = new ConcurrentHashMap<>();
    TwoServers.Race race =
        servers.race(
            CALLERS,
            caller -> created.put(caller.create(request -> request.setTemplate(name)), caller));

    assertThat(race.granted()).isGreaterThan(PLACES);
    assertThat(cloud.mostRunning()).isGreaterThan(PLACES);
    created.forEach((sandbox, caller) -> caller.terminate(sandbox.getSandboxId()));
  }
}
