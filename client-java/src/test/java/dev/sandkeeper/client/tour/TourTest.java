package dev.sandkeeper.client.tour;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.v1.Limit;
import dev.sandkeeper.v1.LimitPeriod;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TourTest {
  private final FakeSandkeeper server = new FakeSandkeeper();
  private final ByteArrayOutputStream shown = new ByteArrayOutputStream();
  private Duration perLook = Duration.ofMillis(500);

  @AfterEach
  void stopServer() {
    server.close();
  }

  @Test
  void showsTheJobAndItsBooks() throws IOException {
    run();

    assertThat(shown.toString(StandardCharsets.UTF_8))
        .contains(
            "Limit of the day set to USD 1.000000000",
            "2 cores, 1024 MiB, tier standard, engine local",
            "  step 6",
            "exit code 0 after 3.000 s, processor time not measured, cost USD 0.000100000",
            "    bucket, keeper, sand, spade",
            "4.000 s   1.500 core-s  not measured  not measured  3           0.000130001",
            "standard  allocated  0           0.000014         0.0000045",
            "00:00:10.000  00:00:11.000  execution eeeeeeeeeeeeeeeeeeee  0.000100000",
            "00:00:20.000  00:00:21.000  time in which nothing ran       0.000030001",
            "day     1.000000000  0.000130001  0.000000000  0.999869999  never",
            "Audit chain intact: 9 events");
    assertThat(server.ended()).containsExactly(FakeSandkeeper.SANDBOX_ID);
  }

  @Test
  void limitOfTheDayThatExistsIsLeftAlone() throws IOException {
    server
        .limits()
        .add(
            Limit.newBuilder()
                .setPeriod(LimitPeriod.LIMIT_PERIOD_DAY)
                .setAmountNanoUsd(5_000_000_000L)
                .build());

    run();

    assertThat(server.limits()).hasSize(1);
  }

  @Test
  void outputThatCameAtOnceIsAFailure() {
    perLook = Duration.ofMillis(1);
    assertFails("the output did not stream: all of it came within 0.005 s");
  }

  @Test
  void missingOutputIsAFailure() {
    server.pythonLines = 5;
    assertFails("Python printed 5 lines, not 6");
  }

  @Test
  void failedProgramIsAFailure() {
    server.exitCode = 3;
    assertFails("the program failed: exit code 3");
  }

  @Test
  void changedFileIsAFailure() {
    server.corruption = ByteString.copyFromUtf8("!");
    assertFails("the downloaded file differs from the uploaded one");
  }

  @Test
  void billThatDoesNotAddUpIsAFailure() {
    server.idleCost = 30_002;
    assertFails("the cost records add up to USD 0.000130002, the usage says USD 0.000130001");
  }

  @Test
  void brokenAuditChainIsAFailure() {
    server.auditIntact = false;
    assertFails("the audit chain is broken at event 4");
  }

  @Test
  void failureIsOneLineAndAnExitCode(@TempDir Path folder) throws IOException {
    Path key = Files.writeString(folder.resolve("key"), "secret\n");
    server.exitCode = 3;
    ByteArrayOutputStream errors = new ByteArrayOutputStream();
    PrintStream err = new PrintStream(errors, true, StandardCharsets.UTF_8);

    assertThat(Tour.run(server.target(), key, out(), err)).isEqualTo(1);
    assertThat(Tour.run("127.0.0.1:1", key, out(), err)).isEqualTo(1);
    assertThat(Tour.run(server.target(), folder.resolve("none"), out(), err)).isEqualTo(1);

    assertThat(errors.toString(StandardCharsets.UTF_8).lines())
        .hasSize(3)
        .allMatch(line -> line.startsWith("tour: "));
  }

  private void assertFails(String message) {
    assertThatThrownBy(this::run).isInstanceOf(TourFailure.class).hasMessage(message);
    assertThat(server.ended()).containsExactly(FakeSandkeeper.SANDBOX_ID);
  }

  /** The clock goes on by the same step whenever it is looked at. */
  private void run() throws IOException {
    AtomicLong now = new AtomicLong();
    try (SandkeeperClient client =
        SandkeeperClient.builder(server.target()).apiKey("key").plaintext().build()) {
      Tour.run(client, out(), () -> now.addAndGet(perLook.toNanos()));
    }
  }

  private PrintStream out() {
    return new PrintStream(shown, true, StandardCharsets.UTF_8);
  }
}
