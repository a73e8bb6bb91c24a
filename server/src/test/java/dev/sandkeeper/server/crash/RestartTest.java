package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.client.ExecutionEvent;
import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.client.SandkeeperException;
import dev.sandkeeper.v1.FinishReason;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A server that ends and starts again on its port, while clients read their programs' output. */
class RestartTest {
  private static final int CLIENTS = 4;
  private static final String COUNT_FOR_EVER =
      "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done";

  private final ExecutorService threads = Executors.newFixedThreadPool(CLIENTS);
  private ServerProcess server;

  @BeforeEach
  void start() throws Exception {
    server = new ServerProcess().start();
    server.set("SERVER_PORT", Integer.toString(server.client().port()));
  }

  @AfterEach
  void end() throws Exception {
    threads.shutdownNow();
    server.close();
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void clientsThatStreamAreToldAndGoOnInTheirSandboxes(boolean killed) throws Exception {
    CyclicBarrier allStream = new CyclicBarrier(CLIENTS + 1);
    List<Future<?>> clients = new ArrayList<>();
    String target = "127.0.0.1:" + server.client().port();
    String key = Files.readString(server.folder().resolve("key")).strip();
    for (int i = 0; i < CLIENTS; i++) {
      Callable<Void> client =
          () -> {
            try (SandkeeperClient own =
                SandkeeperClient.builder(target).apiKey(key).plaintext().build()) {
              streamThroughTheRestart(own, allStream);
            }
            return null;
          };
      clients.add(threads.submit(client));
    }

    allStream.await();
    if (killed) {
      server.kill();
    } else {
      server.stop();
    }
    server.start();

    for (Future<?> client : clients) {
      client.get();
    }
    Books.assertSound(server);
  }

  private static void streamThroughTheRestart(SandkeeperClient client, CyclicBarrier allStream)
      throws Exception {
    SandboxHandle sandbox = client.createSandbox(Duration.ofMinutes(10));
    StringBuilder output = new StringBuilder();
    try (ExecutionStream stream = sandbox.shell(COUNT_FOR_EVER).stream()) {
      Iterator<ExecutionEvent> events = stream.iterator();
      while (output.length() < 100) {
        read(events.next(), output);
      }
      allStream.await();

      assertThatThrownBy(() -> events.forEachRemaining(event -> read(event, output)))
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.reason()).isEqualTo("SEQUENCE_NOT_KEPT"));
      assertThat(client.getExecution(stream.executionId()).getFinished().getReason())
          .isEqualTo(FinishReason.FINISH_REASON_LOST);
    }
    List<String> lines = output.toString().lines().toList();
    for (int i = 0; i < lines.size() - 1; i++) { // the last may be half a line
      assertThat(lines.get(i)).isEqualTo(Integer.toString(i));
    }
    assertThat(sandbox.shell("echo on").run().stdoutText()).isEqualTo("on\n");
  }

  private static void read(ExecutionEvent event, StringBuilder output) {
    if (event instanceof ExecutionEvent.Stdout stdout) {
      assertThat(stdout.offset()).isEqualTo(output.length());
      output.append(stdout.data().toString(StandardCharsets.US_ASCII));
    }
  }
}
