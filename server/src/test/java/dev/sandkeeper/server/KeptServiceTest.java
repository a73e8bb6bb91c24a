package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.executionId;
import static dev.sandkeeper.server.Caller.shellRequest;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.ExecutionEvent;
import io.grpc.Status;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What goes when the executions that are over are too many, or too much. */
class KeptServiceTest {
  private static final int MAX_KEPT = 4;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_EXECUTION_MAX_KEPT",
              Integer.toString(MAX_KEPT),
              "SANDKEEPER_EXECUTION_MAX_KEPT_SIZE",
              "1 MiB"));

  private final Caller caller = server.runner();
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = caller.create().getSandboxId();
  }

  @Test
  void thoseGoThatEndedFirstHoweverLongTheyWereToBeKept() {
    List<List<ExecutionEvent>> patient =
        IntStream.range(0, MAX_KEPT + 1)
            .mapToObj(i ->
                caller.execute(
                    shellRequest(sandbox, "echo " + i).toBuilder()
                        .setKeepDuration(Durations.fromHours(1))
                        .build()))
            .toList();

    List<ExecutionEvent> usual = caller.shell(sandbox, "echo usual");

    assertThat(Caller.stdout(usual)).isEqualTo("usual\n");
    assertThat(caller.attach(executionId(usual), 0)).isEqualTo(usual);
    assertThat(caller.attach(executionId(patient.getLast()), 0)).isEqualTo(patient.getLast());
    gone(patient.get(0));
    gone(patient.get(1));
  }

  @Test
  void bytesAreBoundedTooAndTheLatestStaysWhole() {
    List<ExecutionEvent> first = caller.shell(sandbox, "head -c 700000 /dev/zero");
    List<ExecutionEvent> second = caller.shell(sandbox, "head -c 700000 /dev/zero");
    assertThat(caller.attach(executionId(second), 0)).isEqualTo(second);
    gone(first);

    List<ExecutionEvent> large = caller.shell(sandbox, "head -c 5000000 /dev/zero");

    assertThat(Caller.stdout(caller.attach(executionId(large), 0))).hasSize(5_000_000);
    gone(second);
  }

  /** They go a moment after the end of another was told. */
  private void gone(List<ExecutionEvent> events) {
    await()
        .untilAsserted(() ->
            Refusal.of(
                Status.Code.OUT_OF_RANGE,
                ErrorReason.SEQUENCE_NOT_KEPT,
                () -> caller.attach(executionId(events), 0)));
  }
}
