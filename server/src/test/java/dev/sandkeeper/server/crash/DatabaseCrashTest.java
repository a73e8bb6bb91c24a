package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import com.google.rpc.RetryInfo;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Kills the database with -9 while sandboxes run. */
@Tag("alone")
class DatabaseCrashTest {
  private static final Duration LONG = Duration.ofMinutes(10);
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private ServerProcess server;

  @BeforeEach
  void prepare() throws Exception {
    server = new ServerProcess();
  }

  @AfterEach
  void clean() throws Exception {
    server.close();
  }

  @Test
  void killedDatabaseIsStartedAgainAndNothingOfTheRunIsLost() throws Exception {
    server.start();
    String sandbox = server.client().create(LONG).getSandboxId();
    server.client().run(Client.python(sandbox, "kept = 42"));

    Run slow = server.client().start(Client.bash(sandbox, "echo up; sleep 3; echo done"));
    await().atMost(PATIENCE).until(() -> slow.stdout().equals("up\n"));

    long killed = server.killDatabase();

    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(() -> server.databaseRuns() && server.databaseProcess() != killed);
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(() -> server.client().get(sandbox).getState() == SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(slow.finished().getExitCode()).isZero();
    assertThat(slow.stdout()).isEqualTo("up\ndone\n");
    assertThat(server.client().run(Client.python(sandbox, "print(kept)"))).isEqualTo("42\n");
    Books.assertSound(server);
    server.client().terminate(sandbox);
    Books.assertSound(server);
    Books.assertNothingPastPaid(server);
    server.stop();
    assertThat(server.databaseRuns()).isFalse();
  }

  @Test
  void sandboxEndsByItsPaidTimeWhileTheDatabaseStaysAway() throws Exception {
    server.set("LEDGER_LEASE", "4 s").set("LEDGER_STOP_TIME", "4 s").start();
    String sandbox = server.client().create(LONG).getSandboxId();
    Run run = server.client().start(Client.bash(sandbox, "sleep 300"));
    assertThat(run.executionId()).isNotEmpty();

    // Its folder cannot be read, so that it cannot come back.
    Path cluster = server.dataFolder().resolve("postgresql").resolve("cluster");
    long killed = server.databaseProcess();
    Files.setPosixFilePermissions(cluster, PosixFilePermissions.fromString("---------"));
    try {
      ProcessHandle.of(killed).ifPresent(ProcessHandle::destroyForcibly);

      await()
          .atMost(PATIENCE)
          .untilAsserted(() ->
              assertThatExceptionOfType(StatusRuntimeException.class)
                  .isThrownBy(() -> server.client().create(LONG))
                  .satisfies(DatabaseCrashTest::tellsToTryAgain));
      await().atMost(PATIENCE).until(() -> ServerProcess.processes(sandbox).isEmpty());
    } finally {
      Files.setPosixFilePermissions(cluster, PosixFilePermissions.fromString("rwx------"));
    }

    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(
            () -> server.client().get(sandbox).getState() == SandboxState.SANDBOX_STATE_TERMINATED);
    Books.assertSound(server);
    // It ran on no longer than the time to stop, which is paid for too.
    assertThat(
            server.query(
                "select sandbox_id || ' ' || end_time || ' ' || paid_until from sandbox"
                    + " where end_time > paid_until + interval '4 s'"))
        .isEmpty();
    assertThat(server.client().create(LONG).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
  }

  private static void tellsToTryAgain(StatusRuntimeException refused) {
    assertThat(refused.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(
            List.copyOf(
                Objects.requireNonNull(StatusProto.fromThrowable(refused)).getDetailsList()))
        .anyMatch(detail -> detail.is(RetryInfo.class));
  }
}
