package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.shellRequest;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import io.grpc.Context;
import io.grpc.Status;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Much output through a small journal: who stays gets all of it, who goes releases the program. */
class BackPressureTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_EXECUTION_JOURNAL_SIZE", "64 KiB"));

  /** Many times what the journal keeps. */
  private static final String MUCH =
      "for i in $(seq 300); do head -c 100000 /dev/zero; echo $i >progress; done; touch done";

  private final Caller caller = server.runner();
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = caller.create().getSandboxId();
  }

  @Test
  void aSlowReaderOfItsOwnProgramLosesNothing() {
    Iterator<ExecuteResponse> stream = caller.sandboxes().execute(shellRequest(sandbox, MUCH));
    assertThat(stream.next().getEvent().hasStarted()).isTrue();

    long bytes = 0;
    long sequence = 1;
    ExecutionEvent last = ExecutionEvent.getDefaultInstance();
    while (stream.hasNext()) {
      last = stream.next().getEvent();
      assertThat(last.getSequence()).isEqualTo(++sequence);
      bytes += last.getStdout().getData().size();
    }

    assertThat(bytes).isEqualTo(30_000_000);
    assertThat(last.getFinished().getExitCode()).isZero();
    assertThat(isDone()).isTrue();
  }

  @Test
  void whoGoesAwayReleasesTheProgram() {
    Context.CancellableContext call = Context.current().withCancellation();
    String[] execution = new String[1];
    call.run(() -> {
      Iterator<ExecuteResponse> stream = caller.sandboxes().execute(shellRequest(sandbox, MUCH));
      execution[0] = stream.next().getEvent().getStarted().getExecutionId();
    });

    call.cancel(null);

    await().until(this::isDone);
    Refusal refusal =
        Refusal.of(
            Status.Code.OUT_OF_RANGE,
            ErrorReason.SEQUENCE_NOT_KEPT,
            () -> caller.attach(execution[0], 1));
    long firstKept = Long.parseLong(refusal.info().getMetadataOrThrow("firstKeptSequence"));
    List<ExecutionEvent> rest = caller.attach(execution[0], firstKept - 1);
    assertThat(rest.getFirst().getSequence()).isEqualTo(firstKept);
    assertThat(rest.getFirst().getStdout().getOffset()).isPositive();
    assertThat(finished(rest).getExitCode()).isZero();
  }

  private boolean isDone() {
    return Caller.stdout(caller.shell(sandbox, "ls")).contains("done");
  }
}
