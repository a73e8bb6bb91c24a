package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.SandboxState;
import java.io.IOException;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** Clients that vanish or do not read, and programs that take all they can get. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Tag("alone")
class StreamTest {
  private static final Duration LONG = Duration.ofMinutes(10);
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private ServerProcess server;

  @BeforeAll
  void start() throws Exception {
    // Much less than what is written below, so that output kept in memory would end the server.
    server = new ServerProcess().flag("-Xmx96m").flag("-XX:+ExitOnOutOfMemoryError").start();
  }

  @AfterAll
  void clean() throws Exception {
    server.close();
  }

  @Test
  void programOutlivesAClientThatVanishesAndItsOutputCanBeHad() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    String executionId;
    try (Client vanishing = server.another()) {
      Run run =
          vanishing.start(
              Client.bash(sandbox, "echo one; until [ -e go ]; do sleep 0.05; done; echo two"));
      executionId = run.executionId();
      await().atMost(PATIENCE).until(() -> run.stdout().equals("one\n"));
    }
    server.client().run(Client.bash(sandbox, "touch go"));

    ByteString.Output output = ByteString.newOutput();
    FinishReason reason = FinishReason.FINISH_REASON_UNSPECIFIED;
    var events =
        server
            .client()
            .sandboxes()
            .attachExecution(
                AttachExecutionRequest.newBuilder().setExecutionId(executionId).build());
    while (events.hasNext()) {
      ExecutionEvent event = events.next().getEvent();
      event.getStdout().getData().writeTo(output);
      reason = event.hasFinished() ? event.getFinished().getReason() : reason;
    }

    assertThat(output.toByteString().toStringUtf8()).isEqualTo("one\ntwo\n");
    assertThat(reason).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(server.log()).doesNotContain("\"level\":\"ERROR\"");
  }

  @Test
  void slowReaderHoldsBackTheProgramAndGetsEveryByte() throws Exception {
    String sandbox = server.client().create(LONG).getSandboxId();
    Iterator<ExecuteResponse> events =
        server
            .client()
            .sandboxes()
            .execute(
                Client.bash(
                    sandbox, "seq 1 13000000 | head -c 100000000 | tee >(sha256sum > sum); wait"));
    long bytes = 0;
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    while (events.hasNext() && bytes == 0) {
      ByteString data = events.next().getEvent().getStdout().getData();
      digest.update(data.toByteArray());
      bytes += data.size();
    }
    // Nobody reads now: the program comes to a stand within what is kept unread.
    List<Long> written = new ArrayList<>();
    await()
        .atMost(PATIENCE)
        .pollInterval(Duration.ofMillis(500))
        .until(() -> {
          written.add(journalBytes());
          int last = written.size() - 1;
          return last > 2
              && written.get(last) > 1_000_000
              && written.get(last).equals(written.get(last - 2));
        });
    assertThat(written.getLast()).isLessThan(32L << 20);

    while (events.hasNext()) {
      ByteString data = events.next().getEvent().getStdout().getData();
      digest.update(data.toByteArray());
      bytes += data.size();
    }

    assertThat(bytes).isEqualTo(100_000_000);
    assertThat(server.client().run(Client.bash(sandbox, "cut -d' ' -f1 sum")).strip())
        .isEqualTo(HexFormat.of().formatHex(digest.digest()));
    server.client().terminate(sandbox);
  }

  @Test
  void bombsHarmNeitherTheServerNorOtherSandboxes() throws Exception {
    String quiet = server.client().create(LONG).getSandboxId();
    server.client().run(Client.python(quiet, "kept = 42"));
    for (String bomb :
        List.of(
            "b() { b | b & b; }; b",
            "python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 20))'",
            "head -c 4G /dev/zero > full")) {
      String victim = server.client().create(LONG).getSandboxId();
      Run run =
          server
              .client()
              .start(
                  Client.bash(victim, bomb).toBuilder()
                      .setDeadline(Durations.fromSeconds(4))
                      .build());

      assertThat(run.finished().getReason()).isNotEqualTo(FinishReason.FINISH_REASON_LOST);
      // It did what it is for: what harms nobody ends well.
      assertThat(run.finished().hasExitCode() && run.finished().getExitCode() == 0).isFalse();
      assertThat(server.client().run(Client.python(quiet, "print(kept)"))).isEqualTo("42\n");
      assertThat(server.client().terminate(victim).getState())
          .isIn(SandboxState.SANDBOX_STATE_TERMINATED, SandboxState.SANDBOX_STATE_FAILED);
      assertThat(ServerProcess.processes(victim)).isEmpty();
    }
    server.client().terminate(quiet);
    Books.assertSound(server);
  }

  private long journalBytes() throws IOException {
    try (var files = Files.walk(server.dataFolder().resolve("journal"))) {
      return files.filter(Files::isRegularFile).mapToLong(file -> file.toFile().length()).sum();
    }
  }
}
