package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

// Goal: whatever happens to the link while a command writes, its output comes whole, once and in
// order. Method: a real command under the real agent, and an engine that goes on where it was.
@Timeout(120)
final class LinkFaultTest {
  private static final Duration PATIENCE = Duration.ofSeconds(90);
  private static final String START = "/process.Process/Start";
  private static final String PIECE = "/process.Process/SendInput";
  private static final String STREAM = "/process.Process/StreamInput";
  private static final int LEAST_LINES = 100_000;

  /** Ends what the command writes, once it is there. */
  private static final String ENOUGH = "/tmp/enough";

  private static final String PROGRAM =
      """
      import itertools, os, time
      for i in itertools.count():
          print(i)
          if i %% 1000 == 0:
              time.sleep(0.01)
              if i >= %d and os.path.exists("%s"):
                  break
      print("the last was", i)
      """
          .formatted(LEAST_LINES, ENOUGH);

  private static final List<String> COMMAND = List.of("python3", "-c", PROGRAM);

  @TempDir private Path folder;
  private LinkFixture fixture;
  private @Nullable AgentTalk talk;

  @BeforeEach
  void start() throws IOException {
    fixture = new LinkFixture(folder);
    fixture.startAgent();
  }

  @AfterEach
  void close() throws IOException {
    fixture.close();
  }

  /** Begins the command with a link that is good; faults come once it writes. */
  private void begin() {
    talk = new AgentTalk(fixture.engine, COMMAND);
    fixture.startLink();
  }

  private AgentTalk talk() {
    return Objects.requireNonNull(talk);
  }

  private void awaitOutput() {
    Awaitility.await().atMost(PATIENCE).until(() -> talk().told() > 2);
  }

  /** All faults happen while the command writes, and then nothing of what it wrote is missing. */
  private void assertWhole() throws Exception {
    Awaitility.await()
        .atMost(PATIENCE)
        .untilAsserted(() -> assertThat(fixture.peer.faults()).isEmpty());
    fixture.envd.upload(ENOUGH, "root", new byte[0]);
    assertThat(talk().end().get(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isEqualTo("completed");
    String[] lines = new String(talk().output(), US_ASCII).split("\n", -1);
    int last = lines.length - 3;
    assertThat(last).isGreaterThanOrEqualTo(LEAST_LINES);
    for (int i = 0; i <= last; i++) {
      if (!lines[i].equals(Integer.toString(i))) {
        fail("line %d is %s", i, lines[i]);
      }
    }
    assertThat(lines[last + 1]).isEqualTo("the last was " + last);
    assertThat(lines[last + 2]).isEmpty();
    assertThat(fixture.peer.violations()).isEmpty();
    assertThat(fixture.gone).isEmpty();
  }

  private long starts() {
    return requests(START);
  }

  private long requests(String path) {
    return fixture.peer.requests().stream().filter(r -> r.path().equals(path)).count();
  }

  @Test
  void nothingIsLostWithoutFaults() throws Exception {
    begin();
    assertWhole();
    assertThat(starts()).isEqualTo(2);
    assertThat(requests(STREAM)).isEqualTo(1);
    assertThat(requests(PIECE)).isZero();
  }

  @Test
  void nothingIsLostWithoutStreams() throws Exception {
    fixture.http.giveUpStreams();
    begin();
    assertWhole();
    assertThat(starts()).isEqualTo(2);
    assertThat(requests(STREAM)).isZero();
    assertThat(requests(PIECE)).isPositive();
  }

  // As by a proxy that waits for the end of a request before it passes it on.
  @Test
  void piecesAreSentWhereStreamsAreHeldBack() throws Exception {
    fixture.peer.fault("delay", STREAM, "times", 1, "ms", 100_000);
    begin();
    assertWhole();
    assertThat(fixture.http.passesStreams()).isFalse();
    assertThat(requests(PIECE)).isPositive();
  }

  @Test
  void piecesAreSentWhereStreamsAreRefused() throws Exception {
    fixture.peer.fault("status", STREAM, "times", 1, "status", 411);
    begin();
    assertWhole();
    assertThat(fixture.http.passesStreams()).isFalse();
    assertThat(requests(PIECE)).isPositive();
  }

  @Test
  void nothingIsLostByCutsAtBordersOfMessagesAndWithinThem() throws Exception {
    begin();
    awaitOutput();
    for (int frames = 0; frames < 12; frames++) {
      fixture.peer.fault("cut_frame", START, "frames", frames);
      fixture.peer.fault("cut_frame", START, "frames", frames, "bytes", 3);
      fixture.peer.fault("cut_frame", START, "frames", frames, "bytes", 40 + 7 * frames);
    }
    fixture.peer.fault("cut_now", START);

    assertWhole();
    assertThat(starts()).isGreaterThan(36);
  }

  @ParameterizedTest
  @CsvSource({"duplicate", "swap"})
  void nothingIsLostOrComesTwiceByMessagesOutOfOrder(String kind) throws Exception {
    begin();
    awaitOutput();
    for (int frame = 1; frame < 10; frame++) {
      fixture.peer.fault(kind, START, "frame", frame);
    }
    fixture.peer.fault("cut_now", START);

    assertWhole();
    assertThat(starts()).isGreaterThan(9);
  }

  @Test
  void nothingIsLostByStreamsUpThatAreCut() throws Exception {
    begin();
    awaitOutput();
    for (int i = 0; i < 5; i++) {
      long before = requests(STREAM);
      fixture.peer.fault("cut_now", STREAM);
      Awaitility.await().atMost(PATIENCE).until(() -> requests(STREAM) > before);
    }

    assertWhole();
    assertThat(fixture.http.passesStreams()).isTrue();
  }

  /** A status of 0 is none. */
  private void failNext(String path, int times, String kind, int status) {
    if (status == 0) {
      fixture.peer.fault(kind, path, "times", times);
    } else {
      fixture.peer.fault(kind, path, "times", times, "status", status);
    }
  }

  @ParameterizedTest
  @CsvSource({"drop_request, 0", "status, 500", "status, 429", "status, 502"})
  void nothingIsLostByStreamsUpThatFail(String kind, int status) throws Exception {
    begin();
    awaitOutput();
    failNext(STREAM, 5, kind, status);
    fixture.peer.fault("cut_now", STREAM);

    assertWhole();
    assertThat(starts()).isGreaterThan(5);
    assertThat(fixture.http.passesStreams()).isTrue();
  }

  @ParameterizedTest
  @CsvSource({"drop_request, 0", "drop_answer, 0", "status, 500", "status, 429"})
  void nothingIsLostByCallsThatFail(String kind, int status) throws Exception {
    fixture.http.giveUpStreams();
    begin();
    awaitOutput();
    failNext(PIECE, 5, kind, status);
    if (status != 0) {
      failNext(START, 2, kind, status);
    }

    assertWhole();
    assertThat(starts()).isGreaterThan(5);
  }

  @Test
  void nothingIsLostByAStall() throws Exception {
    begin();
    awaitOutput();
    fixture.peer.fault("stall", START, "frames", 6, "ms", 60_000);
    fixture.peer.fault("delay", STREAM, "ms", 200);
    fixture.peer.fault("cut_now", START);

    assertWhole();
    assertThat(starts()).isGreaterThanOrEqualTo(4);
  }
}
