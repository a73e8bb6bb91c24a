package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** When one sandbox at E2B is linked up with. */
class RemoteHandleTest {
  private static final Duration LONG = Duration.ofMinutes(5);

  @Test
  void whatComesBehindTheEndLinksUpWithNothing(@TempDir Path folder) {
    try (Peer peer = Peer.start();
        HttpCalls http = new HttpCalls(Duration.ofSeconds(5))) {
      E2bSettings settings = E2bFixture.settings(peer, folder, LONG).api();
      ControlApi control = new ControlApi(settings, http, peer::key, new SecureRandom());
      Session session =
          control.create(new NewSandbox("base", LONG, Map.of(), Map.of(), false, false, false));
      RemoteHandle handle =
          new RemoteHandle(control, http, settings, session.sandboxId(), folder, () -> {});

      handle.close();
      handle.reach(session);
      assertThat(handle.resume(LONG)).isFalse();

      await()
          .during(Duration.ofSeconds(1))
          .untilAsserted(() ->
              assertThat(peer.requests())
                  .noneMatch(seen -> seen.path().startsWith("/process.Process/")));
    }
  }
}
