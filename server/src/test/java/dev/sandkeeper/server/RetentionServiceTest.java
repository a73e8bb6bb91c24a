package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.Duration;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecutionEvent;
import io.grpc.Status;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * How much of the events is kept, and for how long, as the caller asks; by default next to nothing.
 */
class RetentionServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_EXECUTION_JOURNAL_SIZE", "64 KiB",
              "SANDKEEPER_EXECUTION_MAX_JOURNAL_SIZE", "2 MiB",
              "SANDKEEPER_EXECUTION_KEEP", "1 s",
              "SANDKEEPER_EXECUTION_MAX_KEEP", "1 h"));

  private static final Duration HOUR = Durations.fromHours(1);
  private static final int BYTES = 1_000_000;
  private static final String WRITE = "head -c " + BYTES + " /dev/zero";

  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = server.runner().create().getSandboxId();
  }

  @Test
  void longerByRequestAlsoAfterTheServerWasStartedAgain() throws Exception {
    List<ExecutionEvent> kept = run(request("echo kept").setKeepDuration(HOUR));
    List<ExecutionEvent> gone = run(request("echo gone"));

    assertThat(attach(kept)).isEqualTo(kept);
    awaitGone(gone);
    server.restart();
    assertThat(attach(kept)).isEqualTo(kept);
    awaitGone(gone);
  }

  @Test
  void moreByRequest() {
    List<ExecutionEvent> more =
        run(request(WRITE).setKeepDuration(HOUR).setJournalSizeBytes(2 << 20));
    List<ExecutionEvent> less = run(request(WRITE).setKeepDuration(HOUR));

    assertThat(Caller.stdout(attach(more))).hasSize(BYTES);
    Refusal.of(Status.Code.OUT_OF_RANGE, ErrorReason.SEQUENCE_NOT_KEPT, () -> attach(less));
  }

  @Test
  void noMoreThanTheServerAllows() {
    assertThat(
            Refusal.ofField(
                "journal_size_bytes",
                () -> run(request("true").setJournalSizeBytes((2 << 20) + 1))))
        .contains("at most 2097152");
    assertThat(
            Refusal.ofField(
                "keep_duration",
                () -> run(request("true").setKeepDuration(Durations.fromSeconds(3601)))))
        .contains("at most PT1H");
    assertThat(
            Refusal.ofField(
                "journal_size_bytes", () -> run(request("true").setJournalSizeBytes(1))))
        .contains("1048576");
  }

  private static void awaitGone(List<ExecutionEvent> events) {
    await()
        .untilAsserted(() ->
            Refusal.of(
                Status.Code.OUT_OF_RANGE, ErrorReason.SEQUENCE_NOT_KEPT, () -> attach(events)));
  }

  private ExecuteRequest.Builder request(String line) {
    return Caller.shellRequest(sandbox, line).toBuilder();
  }

  private static List<ExecutionEvent> run(ExecuteRequest.Builder request) {
    return server.runner().execute(request.build());
  }

  private static List<ExecutionEvent> attach(List<ExecutionEvent> events) {
    return server.runner().attach(Caller.executionId(events), 0);
  }
}
