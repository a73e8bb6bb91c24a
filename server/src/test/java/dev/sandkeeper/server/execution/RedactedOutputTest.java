package dev.sandkeeper.server.execution;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.redaction.Redaction;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

/** What of a program's output is written when, and what an engine has to keep meanwhile. */
class RedactedOutputTest {
  private static final String TOKEN = "ghp_" + "a1B2c3D4e5F6".repeat(3);
  private static final String MARK = "[redacted:github-token]";

  private static final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor();

  private final List<Written> written = new ArrayList<>();
  private final RedactedOutput output = new RedactedOutput(Redaction::knownKeys, timer, this::take);
  private long stdoutOffset;
  private long stderrOffset;

  private record Written(OutputStreamKind kind, long offset, String text, int told) {}

  @AfterAll
  static void stopTimer() {
    timer.shutdownNow();
  }

  @Test
  void plainOutputIsWrittenAsItComes() {
    stdout("one");
    stdout("two");

    assertThat(written()).containsExactly(written(0, "one", 1), written(3, "two", 1));
    assertThat(output.behind()).isZero();
  }

  @Test
  void aChunkThatMayEndWithinAKeyWaitsForTheNext() {
    stdout("key " + TOKEN.substring(0, 20));
    assertThat(written()).isEmpty();
    assertThat(output.behind()).isEqualTo(1);

    stdout(TOKEN.substring(20) + "\n");
    assertThat(written()).containsExactly(written(0, "key " + MARK, 1), written(24, "\n", 1));
    assertThat(output.behind()).isZero();
  }

  @Test
  void whatIsNoKeyAfterAllIsWrittenWhereItBegan() {
    stdout("key ghp_abc");
    stdout(" and on");

    assertThat(written()).containsExactly(written(0, "key ghp_abc", 1), written(11, " and on", 1));
  }

  @Test
  void theOtherStreamWaitsInItsOrder() {
    stdout(TOKEN.substring(0, 20));
    stderr("progress");
    assertThat(written()).isEmpty();

    stdout(TOKEN.substring(20) + "\n");
    assertThat(written()).extracting(Written::text).containsExactly(MARK, "progress", "\n");
  }

  @Test
  void whatWaitsIsWrittenBeforeLongAndTheRestOfTheKeyIsNot() {
    stdout("key " + TOKEN.substring(0, 10));
    await().until(() -> output.behind() == 0);
    stdout(TOKEN.substring(10) + "\n");

    assertThat(text()).isEqualTo("key " + TOKEN.substring(0, 10) + MARK + "\n");
    assertThat(output.behind()).isZero();
  }

  @Test
  void whatCameOfAClosedOneIsHeardAgainByTheNext() throws Exception {
    stdout("before ");
    stdout("key " + TOKEN.substring(0, 20));
    output.close();
    timer.schedule(() -> {}, RedactedOutput.HOLD_TIME.toMillis() * 2, TimeUnit.MILLISECONDS).get();
    assertThat(text()).isEqualTo("before ");
    assertThat(told()).isEqualTo(1);

    RedactedOutput next = new RedactedOutput(Redaction::knownKeys, timer, this::take);
    next.write(OutputStreamKind.STDOUT, 7, bytes("key " + TOKEN.substring(0, 20)));
    next.write(OutputStreamKind.STDOUT, 31, bytes(TOKEN.substring(20) + "\n"));
    assertThat(text()).isEqualTo("before key " + MARK + "\n");
    assertThat(told()).isEqualTo(3);
  }

  @Test
  void chunksOfWhichNothingIsShownCountWithTheNext() {
    for (int i = 0; i < TOKEN.length(); i++) {
      stdout(TOKEN.substring(i, i + 1));
    }
    stdout("\n");

    // The prefix is shown as it comes: alone it may be anything.
    assertThat(text()).isEqualTo("ghp_" + MARK + "\n");
    assertThat(told()).isEqualTo(TOKEN.length() + 1);
    assertThat(output.behind()).isZero();
  }

  @Test
  void noMoreWaitsThanAnEngineKeeps() {
    stdout("-----BEGIN RSA PRIVATE KEY-----\n");
    for (int i = 0; i < 10_000; i++) {
      stdout("x");
      assertThat(output.behind()).isLessThan(1200);
    }
    assertThat(text()).doesNotContain("x");

    stderrOffset = 0;
    for (int i = 0; i < 10; i++) {
      stderr("y".repeat(100_000));
    }
    assertThat(output.behind()).isLessThan(3);
    assertThat(text()).contains("y".repeat(500_000));
  }

  @Test
  void anEventHasNoMoreThanItMay() {
    String chunk = (TOKEN + " ").repeat(256 * 1024 / (TOKEN.length() + 1));
    stdout(" ".repeat(200_000) + "AKIA" + "ABCDEFGH");
    stdout("12345678 " + chunk);
    output.letGo();

    assertThat(written()).allMatch(event -> event.text().length() <= 256 * 1024);
    assertThat(told()).isEqualTo(2);
  }

  private synchronized void take(OutputStreamKind kind, long offset, ByteBuffer bytes, int told) {
    assertThat(bytes.hasRemaining()).isTrue();
    written.add(
        new Written(
            kind, offset, StandardCharsets.UTF_8.decode(bytes.duplicate()).toString(), told));
  }

  private synchronized List<Written> written() {
    return List.copyOf(written);
  }

  private String text() {
    return String.join("", written().stream().map(Written::text).toList());
  }

  private int told() {
    return written().stream().mapToInt(Written::told).sum();
  }

  private static Written written(long offset, String text, int told) {
    return new Written(OutputStreamKind.STDOUT, offset, text, told);
  }

  private void stdout(String text) {
    output.write(OutputStreamKind.STDOUT, stdoutOffset, bytes(text));
    stdoutOffset += text.length();
  }

  private void stderr(String text) {
    output.write(OutputStreamKind.STDERR, stderrOffset, bytes(text));
    stderrOffset += text.length();
  }

  private static ByteBuffer bytes(String text) {
    return ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
  }
}
