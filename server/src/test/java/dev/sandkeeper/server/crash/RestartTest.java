package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.client.ExecutionEvent;
import dev.sandkeeper.client.ExecutionInput;
import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
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
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A server that ends and starts again on its port, while clients read their programs' output. */
@Tag("alone")
class RestartTest {
  private static final int CLIENTS = 4;
  private static final int SIGTERM = 15;
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
  void clientsThatStreamMissNothing(boolean killed) throws Exception {
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

  @Test
  void aTerminalIsTypedIntoThroughTheRestart() throws Exception {
    String target = "127.0.0.1:" + server.client().port();
    String key = Files.readString(server.folder().resolve("key")).strip();
    try (SandkeeperClient client =
            SandkeeperClient.builder(target).apiKey(key).plaintext().build();
        ExecutionStream stream =
            client
                .createSandbox(Duration.ofMinutes(10))
                .shell(
                    "trap 'stty size' WINCH; stty -echo; echo up;"
                        + " while read line; do echo got $line; done")
                .terminal(24, 80)
                .keepStdinOpen()
                .stream()) {
      StringBuilder screen = new StringBuilder();
      Iterator<ExecutionEvent> events = stream.iterator();
      readUntil("up", events, screen);
      ExecutionInput input = client.input(stream.executionId());
      input.write("one\n");
      readUntil("got one", events, screen);
      server.kill();
      server.start();

      client.resizeTerminal(stream.executionId(), 30, 90);
      input.write("two\n"); // the shell sees to its signal once it has read a line
      readUntil("30 90", events, screen);
      readUntil("got two", events, screen);
      input.close();
      events.forEachRemaining(event -> read(event, screen));
      assertThat(client.getExecution(stream.executionId()).getFinished().getReason())
          .isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    }
    Books.assertSound(server);
  }

  private static void readUntil(
      String text, Iterator<ExecutionEvent> events, StringBuilder screen) {
    while (screen.indexOf(text) < 0) {
      read(events.next(), screen);
    }
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
      int before = output.length();
      while (output.length() < before + 500) {
        read(events.next(), output);
      }
      client.signal(stream.executionId(), SIGTERM);
      events.forEachRemaining(event -> read(event, output));

      assertThat(client.getExecution(stream.executionId()).getFinished().getReason())
          .isEqualTo(FinishReason.FINISH_REASON_SIGNALED);
      assertThat(stream.reattachments()).isPositive();
    }
    List<String> lines = output.toString().lines().toList();
    for (int i = 0; i < lines.size(); i++) {
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
