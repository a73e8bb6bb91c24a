package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the watch beside a paused sandbox does; an ordinary process stands for the sandbox. */
class PaidTimeWatchTest {

  private static final Duration SHORT = Duration.ofMillis(200);
  private static final Duration LONG = Duration.ofMinutes(5);

  @TempDir Path folder;

  private Process guest;
  private PaidTime paid;
  private PaidTimeWatch watch;
  private final CompletableFuture<Boolean> ended = new CompletableFuture<>();

  @BeforeEach
  void prepare() throws IOException {
    Path script = Files.write(folder.resolve("watch.sh"), Resources.bytes("watch.sh"));
    guest = new ProcessBuilder("sleep", "307").start();
    Files.writeString(folder.resolve("cgroup.procs"), guest.pid() + "\n");
    Files.writeString(folder.resolve("freezer.state"), "FROZEN\n");
    paid = new PaidTime(folder, System::nanoTime);
    watch =
        new PaidTimeWatch(
            List.of("setsid", "/bin/sh", script.toString()), paid, Freezer.ofVersionOne(folder));
  }

  @AfterEach
  void end() throws InterruptedException {
    watch.stop();
    guest.destroyForcibly().waitFor();
  }

  private void watch(Duration time) {
    paid.set(time);
    watch.start(() -> ended.complete(true));
  }

  private void awaitEnd() throws Exception {
    ended.get(20, TimeUnit.SECONDS);
  }

  private static long watching() {
    return ProcessHandle.current().descendants().filter(PaidTimeWatchTest::sleepsLong).count();
  }

  private static boolean sleepsLong(ProcessHandle process) {
    return process.info().commandLine().orElse("").matches("\\S*sleep (299|300)\\..*");
  }

  @Test
  void paidTimeThatIsOverEndsAllAndThaws() throws Exception {
    watch(SHORT);
    awaitEnd();

    assertThat(guest.waitFor(20, TimeUnit.SECONDS)).isTrue();
    assertThat(folder.resolve("freezer.state")).hasContent("THAWED");
    assertThat(paid.left()).isZero();
  }

  @Test
  void renewedPaidTimeIsLeftToAnotherWatch() throws Exception {
    watch(SHORT);
    paid.set(LONG);
    awaitEnd();

    assertThat(guest.isAlive()).isTrue();
    assertThat(folder.resolve("freezer.state")).hasContent("FROZEN");
  }

  @Test
  void awakeSandboxIsLeftToItsAgent() throws Exception {
    Files.writeString(folder.resolve("freezer.state"), "THAWED\n");
    watch(SHORT);
    awaitEnd();

    assertThat(guest.isAlive()).isTrue();
  }

  @Test
  void stoppedWatchLeavesNoProcessAndIsSilent() {
    watch(LONG);
    await().until(() -> watching() == 1);

    watch.stop();

    await().until(() -> watching() == 0);
    assertThat(ended).isNotDone();
    assertThat(guest.isAlive()).isTrue();
  }

  @Test
  void nothingIsWatchedForAnUnknownTime() {
    assertThatExceptionOfType(EngineException.class)
        .isThrownBy(() -> watch.start(() -> ended.complete(true)))
        .withMessageContaining("paid-until");
  }
}
