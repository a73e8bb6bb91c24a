package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.wire.LogWatch;
import dev.sandkeeper.server.wire.Wire;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** More connections than the server takes. */
class ConnectionLimitTest {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_SERVER_MAX_CONNECTIONS", "10"));

  @RegisterExtension final LogWatch log = new LogWatch();

  @Test
  void connectionsBeyondTheBoundAreClosedAtOnceUntilOthersLeave() throws Exception {
    List<Wire> open = new ArrayList<>();
    String sandbox = server.runner().create().getSandboxId(); // by a connection that stays
    double refusedBefore = server.metric("sandkeeper_connection_refused_total");
    try {
      for (int i = 0; i < 9; i++) {
        await().atMost(PATIENCE).until(() -> isAdmitted(open)); // when what asked has left
      }
      await().atMost(PATIENCE).until(() -> isRefused());

      ManagedChannel channel = server.plaintextChannel();
      try {
        Caller late = new Caller(channel, server.runner().secret());
        assertThat(catchThrowable(() -> late.get(sandbox)))
            .hasMessageStartingWith(Status.Code.UNAVAILABLE.name());
      } finally {
        channel.shutdownNow();
      }
      assertThat(server.runner().get(sandbox).getSandboxId()).isEqualTo(sandbox);
    } finally {
      for (Wire wire : open) {
        wire.close();
      }
    }
    await().atMost(PATIENCE).until(() -> !isRefused());
    assertThat(server.metric("sandkeeper_connection_refused_total")).isGreaterThan(refusedBefore);
  }

  private static boolean isAdmitted(List<Wire> open) throws IOException {
    Wire wire = new Wire(server.port());
    try {
      return wire.send(Wire.PREFACE).readFrame(PATIENCE).type() == Wire.SETTINGS && open.add(wire);
    } catch (IOException e) {
      wire.close();
      return false;
    }
  }

  private static boolean isRefused() throws IOException {
    List<Wire> admitted = new ArrayList<>();
    boolean refused = !isAdmitted(admitted);
    for (Wire wire : admitted) {
      wire.close();
    }
    return refused;
  }
}
