package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.client.ClientBuilder;
import dev.sandkeeper.client.ExecutionEvent;
import dev.sandkeeper.client.ExecutionListener;
import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.client.FieldViolation;
import dev.sandkeeper.client.SandboxFiles;
import dev.sandkeeper.client.SandboxHandle;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.client.SandkeeperException;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.SandboxState;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The Java client against the whole server, for what no fake can show. */
class JavaClientTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  /** Less than the server keeps, so that nothing is lost however long nobody is attached. */
  private static final int MUCH_BYTES = 8_000_000;

  private static final String WRITE_MUCH =
      """
      import hashlib, random, sys
      data = random.Random(7).randbytes(8000000)
      sys.stdout.buffer.write(data)
      print(hashlib.sha256(data).hexdigest(), end="", file=sys.stderr)
      """;

  private SandkeeperClient client;
  private SandboxHandle sandbox;

  @BeforeEach
  void connect() {
    client = builder("127.0.0.1:" + server.port()).build();
    sandbox = client.createSandbox(Duration.ofMinutes(5));
  }

  @AfterEach
  void disconnect() {
    client.close();
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4})
  void everyByteComesOnceThroughConnectionsThatAreCut(long seed) throws IOException {
    Random random = new Random(seed);
    MessageDigest digest = sha256();
    AtomicLong bytes = new AtomicLong();
    StringBuilder said = new StringBuilder();
    try (CuttingRelay relay = new CuttingRelay(server::port, () -> random.nextLong(1_500_000));
        SandkeeperClient cut = builder(relay.target()).build();
        ExecutionStream stream =
            cut.sandbox(sandbox.id()).command("python3", "-c", WRITE_MUCH).stream()) {
      ExecutionEvent.Finished finished =
          stream.await(
              out -> {
                digest.update(out.asReadOnlyByteBuffer());
                bytes.addAndGet(out.size());
              },
              err -> said.append(err.toStringUtf8()));

      assertThat(finished.succeeded()).isTrue();
      assertThat(relay.cuts()).isGreaterThan(4);
      assertThat(stream.reattachments()).isGreaterThan(4);
    }

    assertThat(bytes).hasValue(MUCH_BYTES);
    assertThat(said).hasToString(HexFormat.of().formatHex(digest.digest()));
  }

  @Test
  void aRunOfItsOwnComesWholeThroughConnectionsThatAreCut() throws IOException {
    MessageDigest digest = sha256();
    StringBuilder said = new StringBuilder();
    RunOnceRequest request =
        RunOnceRequest.newBuilder()
            .setCommand(Command.newBuilder().addArgv("python3").addArgv("-c").addArgv(WRITE_MUCH))
            .build();
    try (CuttingRelay relay = new CuttingRelay(server::port, () -> 1_000_000);
        SandkeeperClient cut = builder(relay.target()).build();
        ExecutionStream stream = cut.runOnce(request)) {
      ExecutionEvent.Finished finished =
          stream.await(
              out -> digest.update(out.asReadOnlyByteBuffer()),
              err -> said.append(err.toStringUtf8()));

      assertThat(finished.succeeded()).isTrue();
      assertThat(stream.reattachments()).isPositive();
      String own = client.getExecution(stream.executionId()).getSandboxId();
      await()
          .until(() -> client.getSandbox(own).getState() == SandboxState.SANDBOX_STATE_TERMINATED);
      assertThat(client.getUsage(own).getCostNanoUsd()).isPositive();
    }
    assertThat(said).hasToString(HexFormat.of().formatHex(digest.digest()));
  }

  @Test
  void callbacksAttachAgainToo() throws IOException {
    MessageDigest digest = sha256();
    StringBuilder said = new StringBuilder();
    ExecutionListener listener =
        new ExecutionListener() {
          @Override
          public void onStdout(ExecutionEvent.Stdout stdout) {
            digest.update(stdout.data().asReadOnlyByteBuffer());
          }

          @Override
          public void onStderr(ExecutionEvent.Stderr stderr) {
            said.append(stderr.data().toStringUtf8());
          }
        };
    try (CuttingRelay relay = new CuttingRelay(server::port, () -> 1_000_000);
        SandkeeperClient cut = builder(relay.target()).build()) {
      assertThat(
              cut.sandbox(sandbox.id())
                  .command("python3", "-c", WRITE_MUCH)
                  .start(listener)
                  .join()
                  .succeeded())
          .isTrue();
      assertThat(relay.cuts()).isGreaterThan(4);
    }

    assertThat(said).hasToString(HexFormat.of().formatHex(digest.digest()));
  }

  /** 100 MB, where the server keeps 16 MiB and the windows of the connection are 4 MiB. */
  @Test
  void slowReaderHoldsItsProgramBackAndNothingElse() {
    try (ExecutionStream stream =
        sandbox
            .shell("for i in $(seq 1000); do head -c 100000 /dev/zero; echo $i >at; done")
            .stream()) {
      Iterator<ExecutionEvent> events = stream.iterator();
      events.next();
      AtomicLong before = new AtomicLong(-1);
      await()
          .pollInterval(Duration.ofSeconds(1))
          .atMost(Duration.ofSeconds(60))
          // Each look is a call on the connection of the stream that is not read.
          .until(() -> before.getAndSet(progress()) == progress() && progress() > 0);
      assertThat(progress()).isLessThan(400);

      long bytes = 0;
      while (events.hasNext()) {
        if (events.next() instanceof ExecutionEvent.Stdout stdout) {
          assertThat(stdout.offset()).isEqualTo(bytes);
          bytes += stdout.data().size();
        }
      }
      assertThat(bytes).isEqualTo(100_000_000);
    }
  }

  @Test
  void closedStreamLeavesTheProgramAndAttachGoesOn() {
    String execution;
    long last;
    try (ExecutionStream stream =
        sandbox.shell("echo one; until [ -e go ]; do sleep 0.05; done; echo two").stream()) {
      Iterator<ExecutionEvent> events = stream.iterator();
      while (!(events.next() instanceof ExecutionEvent.Stdout)) {
        assertThat(stream.executionId()).isNotEmpty();
      }
      execution = stream.executionId();
      last = stream.lastSequence();
    }
    sandbox.files().upload(new byte[0], "go");

    StringBuilder rest = new StringBuilder();
    try (ExecutionStream stream = client.attach(execution, last)) {
      assertThat(stream.await(out -> rest.append(out.toStringUtf8()), err -> {}).succeeded())
          .isTrue();
    }
    assertThat(rest).hasToString("two\n");
  }

  @Test
  void manyFilesGoInOneStream() throws Exception {
    SandboxFiles files = sandbox.files();
    byte[] large = new byte[600_000];
    new Random(7).nextBytes(large);
    var _ = files.upload(large, "from/a/large");
    var _ = files.upload("small".getBytes(StandardCharsets.UTF_8), "from/small");

    ByteArrayOutputStream archive = new ByteArrayOutputStream();
    assertThat(files.collect("from", List.of(), archive)).isEqualTo(2);
    FileInfo folder = files.unpack(new ByteArrayInputStream(archive.toByteArray()), "to");

    assertThat(folder.getPath()).isEqualTo("/home/user/to");
    assertThat(files.download("to/a/large")).isEqualTo(large);
    assertThat(files.collect("from", List.of("s*"), OutputStream.nullOutputStream())).isEqualTo(1);
    assertThatExceptionOfType(SandkeeperException.class)
        .isThrownBy(() -> files.unpack(new ByteArrayInputStream(large), "bad"))
        .satisfies(refusal ->
            assertThat(refusal.violations()).extracting(FieldViolation::field).contains("data"));
    assertThatExceptionOfType(SandkeeperException.class).isThrownBy(() -> files.stat("bad/small"));
  }

  private static ClientBuilder builder(String target) {
    return SandkeeperClient.builder(target).apiKey(server.runner().secret()).plaintext();
  }

  private long progress() {
    String text = sandbox.shell("cat at 2>/dev/null || echo 0").run().stdoutText().strip();
    return text.isEmpty() ? 0 : Long.parseLong(text);
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has it", e);
    }
  }
}
