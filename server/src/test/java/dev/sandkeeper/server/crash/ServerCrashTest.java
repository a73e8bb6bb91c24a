package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.v1.ExecutionState;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.StatusRuntimeException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Kills the server, with -9 and at bad moments, and starts it again: what still runs is taken up,
 * the rest is settled, and the books are sound.
 */
@Tag("alone")
class ServerCrashTest {
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
  void killedServerIsFollowedByOneThatTakesUpWhatRuns() throws Exception {
    server.start();
    String running = server.client().create(LONG).getSandboxId();
    String gone = server.client().create(LONG).getSandboxId();
    server.client().run(Client.python(running, "kept = 42"));
    Run inFlight = server.client().start(Client.bash(running, "echo up; sleep 300"));
    Run alsoInFlight = server.client().start(Client.bash(gone, "echo up; sleep 300"));
    String executionId = inFlight.executionId();
    String otherExecutionId = alsoInFlight.executionId();
    await().until(() -> inFlight.stdout().equals("up\n"));

    server.kill();
    ServerProcess.processes(gone)
        .forEach(pid -> ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly));
    await().until(() -> ServerProcess.processes(gone).isEmpty());
    server.start();

    assertThat(server.client().get(running).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(server.client().run(Client.python(running, "print(kept)"))).isEqualTo("42\n");
    Sandbox settled = server.client().get(gone);
    assertThat(settled.getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(settled.getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_ORPHANED);
    assertThat(server.client().execution(executionId).getState())
        .isEqualTo(ExecutionState.EXECUTION_STATE_RUNNING);
    // What was kept of the other can be had, and that its outcome is not known.
    Run other = server.client().attach(otherExecutionId, 0);
    assertThat(other.finished().getReason()).isEqualTo(FinishReason.FINISH_REASON_LOST);
    assertThat(other.stdout()).isEqualTo("up\n");
    Books.assertSound(server);

    assertThat(server.client().terminate(running).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(ServerProcess.processes(running)).isEmpty();
    Books.assertSound(server);
    Books.assertNothingPastPaid(server);
    assertThat(server.query("select count(*) from usage_segment")).isNotEqualTo(List.of("0"));
  }

  @Test
  void whatEndsWhileNoServerRunsIsToldByTheNext() throws Exception {
    server.start();
    String sandbox = server.client().create(LONG).getSandboxId();
    String ended = server.client().start(Client.bash(sandbox, "echo all")).executionId();
    Run run =
        server
            .client()
            .start(Client.bash(sandbox, "echo one; sleep 2; echo two; touch over; exit 7"));
    String execution = run.executionId();
    await().until(() -> run.stdout().equals("one\n"));

    server.kill();
    Thread.sleep(Duration.ofSeconds(3)); // nothing outside can see that the program has ended
    server.start();

    Run all = server.client().attach(execution, 0);
    assertThat(all.finished().getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(all.finished().getExitCode()).isEqualTo(7);
    assertThat(all.stdout()).isEqualTo("one\ntwo\n");
    Run rest = server.client().attach(execution, 2);
    assertThat(rest.finished()).isEqualTo(all.finished());
    assertThat(rest.stdout()).isEqualTo("two\n");
    // What had ended before is kept on as well, and so is who had it run.
    Run before = server.client().attach(ended, 0);
    assertThat(before.finished().getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(before.stdout()).isEqualTo("all\n");
    assertThat(
            server.query(
                "select count(distinct key_id) || ' ' || count(key_id) || ' ' || count(stdout_hash)"
                    + " from audit_event where operation like 'run_%'"))
        .containsExactly("1 2 2");
    Books.assertSound(server);
  }

  @Test
  void whateverEndsWhileTheServerStopsIsToldByTheNext() throws Exception {
    server.start();
    String sandbox = server.client().create(LONG).getSandboxId();
    List<String> executions = new ArrayList<>();
    for (int i = 1; i <= 30; i++) {
      String source = "sleep " + i / 10 + "." + i % 10 + "; echo " + i;
      executions.add(server.client().start(Client.bash(sandbox, source)).executionId());
    }

    server.stop();
    server.start();

    for (int i = 1; i <= 30; i++) {
      Run run = server.client().attach(executions.get(i - 1), 0);
      assertThat(run.finished().getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
      assertThat(run.stdout()).isEqualTo(i + "\n");
    }
    Books.assertSound(server);
  }

  @Test
  void stoppedServerLeavesNothingBehindButSandboxesThatTheNextOneTakesUp() throws Exception {
    server.start();
    String sandbox = server.client().create(LONG).getSandboxId();
    server.client().run(Client.python(sandbox, "kept = 42"));
    Run inFlight = server.client().start(Client.bash(sandbox, "sleep 300"));
    inFlight.executionId();

    int exitCode = server.stop();

    assertThat(exitCode).isEqualTo(128 + 15);
    assertThat(server.databaseRuns()).isFalse();
    assertThat(ServerProcess.processes(sandbox)).isNotEmpty();
    server.start();
    assertThat(server.client().run(Client.python(sandbox, "print(kept)"))).isEqualTo("42\n");
    Books.assertSound(server);
  }

  @Test
  void serverKilledAgainAndAgainUnderLoadKeepsItsBooksSound() throws Exception {
    server.start();
    AtomicInteger created = new AtomicInteger();
    AtomicInteger executed = new AtomicInteger();
    AtomicInteger terminated = new AtomicInteger();
    List<String> acknowledged = new ArrayList<>();
    for (int round = 0; round < 5; round++) {
      int createdBefore = created.get();
      int executedBefore = executed.get();
      AtomicBoolean stop = new AtomicBoolean();
      ConcurrentLinkedQueue<String> made = new ConcurrentLinkedQueue<>();
      Client client = server.client();
      List<Thread> workers = new ArrayList<>();
      for (int number = 0; number < 3; number++) {
        workers.add(
            Thread.ofVirtual()
                .start(() -> {
                  boolean ends = true; // every other one of its own, so some are in any case
                  while (!stop.get()) {
                    try {
                      String id = client.create(LONG).getSandboxId();
                      made.add(id);
                      created.incrementAndGet();
                      client.run(Client.bash(id, "echo out"));
                      executed.incrementAndGet();
                      if (ends) {
                        client.terminate(id);
                        terminated.incrementAndGet();
                      }
                      ends = !ends;
                    } catch (StatusRuntimeException e) {
                      stop.set(true); // the server was killed
                    }
                  }
                }));
      }
      await()
          .atMost(PATIENCE)
          .until(() -> created.get() >= createdBefore + 4 && executed.get() >= executedBefore + 3);
      server.kill();
      stop.set(true);
      for (Thread worker : workers) {
        worker.join();
      }
      acknowledged.addAll(made);
      server.start();
      Books.assertSound(server);
      // What runs and what the books call live are the same.
      for (String id : server.query("select sandbox_id from sandbox order by create_time")) {
        boolean lives = server.client().get(id).getState() == SandboxState.SANDBOX_STATE_RUNNING;
        assertThat(!ServerProcess.processes(id).isEmpty()).as("sandbox %s", id).isEqualTo(lives);
      }
      for (String id : server.query("select sandbox_id from sandbox where state = 'RUNNING'")) {
        server.client().terminate(id);
      }
    }
    assertThat(server.query("select sandbox_id from sandbox")).containsAll(acknowledged);
    assertThat(terminated).hasPositiveValue();
    Books.assertSound(server);
    Books.assertNothingPastPaid(server);
    assertThat(server.query("select sandbox_id from hold where state = 'OPEN'")).isEmpty();
  }

  @Test
  void serverKilledWhileASandboxStartsGivesItUpWithoutABill() throws Exception {
    Path runtime = server.folder().resolve("slow-runtime");
    Path asked = server.folder().resolve("asked");
    Files.writeString(
        runtime,
        "#!/bin/sh\ncase \"$*\" in *' run '*) touch "
            + asked
            + "; sleep 20;; esac\nexec runc \"$@\"\n");
    Files.setPosixFilePermissions(runtime, PosixFilePermissions.fromString("rwxr-xr-x"));
    server.set("ENGINE_LOCAL_RUNTIME", runtime.toString()).start();
    Client client = server.client();
    Thread creator =
        Thread.ofVirtual()
            .start(() -> {
              try {
                client.create(LONG);
              } catch (StatusRuntimeException e) {
                assertThat(e).isNotNull(); // the server was killed
              }
            });
    await().atMost(PATIENCE).until(() -> Files.exists(asked));
    server.kill();
    creator.join();

    server.set("ENGINE_LOCAL_RUNTIME", "runc").start();

    assertThat(server.query("select state || ' ' || end_reason from sandbox"))
        .containsExactly("FAILED ORPHANED");
    assertThat(server.query("select state from hold")).containsExactly("RELEASED");
    assertThat(server.query("select sandbox_id from cost_record")).isEmpty();
    Books.assertSound(server);
  }

  @Test
  void sandboxWhoseServerNeverComesBackEndsByItselfAndIsBilledToItsPaidTime() throws Exception {
    server.set("LEDGER_LEASE", "2 s").set("LEDGER_STOP_TIME", "2 s").start();
    String sandbox = server.client().create(LONG).getSandboxId();
    server.client().start(Client.bash(sandbox, "sleep 300")).executionId();

    server.kill();

    await().atMost(Duration.ofSeconds(15)).until(() -> ServerProcess.processes(sandbox).isEmpty());
    server.start();
    Sandbox settled = server.client().get(sandbox);
    assertThat(settled.getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(settled.getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_ORPHANED);
    assertThat(
            server.query("select end_time = date_trunc('milliseconds', paid_until) from sandbox"))
        .containsExactly("t");
    Books.assertSound(server);
    Books.assertNothingPastPaid(server);
  }
}
