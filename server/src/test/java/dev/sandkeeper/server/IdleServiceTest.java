package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.ListDirectoryRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxEndReason;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * Idle sandboxes through a real channel. Time is told by another sandbox with the same idle timeout
 * that is made later: once that has been ended, so would be whatever was idle as well.
 */
class IdleServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private static final Duration IDLE_TIMEOUT = Durations.fromSeconds(1);

  private final Caller caller = server.runner();

  @Test
  void whatIsIdleIsEndedAndSettled() {
    Sandbox created = create();

    Sandbox ended = awaitEnd(created.getSandboxId());

    assertThat(created.getIdleTimeout()).isEqualTo(IDLE_TIMEOUT);
    assertThat(ended.getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_IDLE);
    assertThat(ended.getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(caller.costRecords(ended.getSandboxId()))
        .anyMatch(record -> record.getEndTime().equals(ended.getEndTime()));
  }

  @Test
  void withoutATimeoutNothingIsIdle() {
    String id = caller.create().getSandboxId();
    awaitIdleTimeout();
    assertRunning(id);
  }

  @Test
  void aSilentCommandIsNoIdleness() {
    String id = create().getSandboxId();
    Recorder<ExecuteResponse> run = new Recorder<>();
    SandboxServiceGrpc.newStub(caller.channel())
        .execute(Caller.shellRequest(id, "until [ -e go ]; do sleep 0.02; done"), run);

    awaitIdleTimeout();
    write(id, "go").onCompleted();

    await().until(run::isOver);
    List<ExecutionEvent> events = run.responses().stream().map(ExecuteResponse::getEvent).toList();
    assertThat(Caller.finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(awaitEnd(id).getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_IDLE);
  }

  @Test
  void neitherIsAnUpload() {
    String id = create().getSandboxId();
    StreamObserver<WriteFileRequest> upload = write(id, "file");

    awaitIdleTimeout();

    assertRunning(id);
    upload.onError(Status.CANCELLED.asException());
    assertThat(awaitEnd(id).getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_IDLE);
  }

  @Test
  void readingIsIdleness() {
    String id = create().getSandboxId();
    await()
        .until(() -> {
          StatusRuntimeException refusal =
              catchThrowableOfType(StatusRuntimeException.class, () -> read(id));
          return refusal != null
              && refusal.getStatus().getCode() == Status.Code.FAILED_PRECONDITION;
        });
    assertThat(awaitEnd(id).getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_IDLE);
  }

  @Test
  void whatIsPausedIsNotIdleUntilItIsResumed() {
    String id = create().getSandboxId();
    caller.pause(id);
    awaitIdleTimeout();
    awaitIdleTimeout();
    assertThat(caller.resume(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(awaitEnd(id).getEndReason()).isEqualTo(SandboxEndReason.SANDBOX_END_REASON_IDLE);
  }

  @Test
  void atMostADay() {
    assertThat(
            Refusal.ofField(
                "idle_timeout",
                () ->
                    caller.create(
                        request -> request.setIdleTimeout(Durations.fromMillis(86_400_001)))))
        .contains("86400");
  }

  private Sandbox create() {
    return caller.create(request -> request.setIdleTimeout(IDLE_TIMEOUT));
  }

  private void awaitIdleTimeout() {
    awaitEnd(create().getSandboxId());
  }

  private Sandbox awaitEnd(String sandboxId) {
    return await().until(() -> caller.get(sandboxId), Sandbox::hasEndTime);
  }

  private void assertRunning(String sandboxId) {
    assertThat(caller.get(sandboxId).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
  }

  private void read(String sandboxId) {
    var _ =
        caller.files().stat(StatRequest.newBuilder().setSandboxId(sandboxId).setPath(".").build());
    var _ =
        caller
            .files()
            .listDirectory(
                ListDirectoryRequest.newBuilder().setSandboxId(sandboxId).setPath(".").build());
    var _ = caller.usage(sandboxId);
  }

  /** Begins to write a file. */
  private StreamObserver<WriteFileRequest> write(String sandboxId, String path) {
    StreamObserver<WriteFileRequest> upload =
        FileServiceGrpc.newStub(caller.channel()).writeFile(new Recorder<WriteFileResponse>());
    upload.onNext(
        WriteFileRequest.newBuilder()
            .setTarget(WriteFileTarget.newBuilder().setSandboxId(sandboxId).setPath(path))
            .build());
    upload.onNext(WriteFileRequest.newBuilder().setData(ByteString.copyFromUtf8("1")).build());
    return upload;
  }
}
