package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.sandkeeper.server.Recorder;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What the streams of a server see when it stops, and when it is killed. */
@Tag("alone")
class ShutdownTest {
  private static final Duration LONG = Duration.ofMinutes(10);

  private ServerProcess server;
  private @Nullable Client client;
  private String sandbox = "";

  @BeforeEach
  void prepare() throws Exception {
    server = new ServerProcess();
  }

  private void start(String grace) throws Exception {
    server.set("SERVER_SHUTDOWN_GRACE", grace).start();
    Client opened = server.another(); // the server's own is closed by stop and kill
    client = opened;
    sandbox = opened.create(LONG).getSandboxId();
  }

  @AfterEach
  void clean() throws Exception {
    if (client != null) {
      client.close();
    }
    server.close();
  }

  @Test
  void streamsThatAreLeftAtTheEndOfTheGraceAreToldSo() throws Exception {
    start("1 s");
    Recorder<ExecuteResponse> execute = execute("echo up; sleep 300");
    Recorder<AttachExecutionResponse> attach = attach(execute);
    Recorder<WriteFileResponse> upload = upload();

    int exitValue = server.stop();

    for (Recorder<?> call : List.of(execute, attach, upload)) {
      assertThat(call.code()).as("%s", call.failure()).isEqualTo(Status.Code.UNAVAILABLE);
      assertThat(call.reason()).isEqualTo(ErrorReason.SHUTTING_DOWN.name());
    }
    assertThat(exitValue).isEqualTo(143); // 128 and SIGTERM
    assertThat(server.log()).doesNotContain("\"level\":\"ERROR\"");
  }

  @Test
  void programThatEndsWithinTheGraceIsSeenToItsEnd() throws Exception {
    start("25 s");
    Recorder<ExecuteResponse> execute = execute("echo up; sleep 2");

    int exitValue = server.stop();

    execute.awaitSuccess();
    assertThat(execute.responses().getLast().getEvent().getFinished().getReason())
        .isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(exitValue).isEqualTo(143);
  }

  @Test
  void killedServersStreamsEndAsUnavailable() throws Exception {
    start("1 s");
    Recorder<ExecuteResponse> execute = execute("echo up; sleep 300");
    Recorder<AttachExecutionResponse> attach = attach(execute);

    server.kill();

    assertThat(execute.code()).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(attach.code()).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(execute.reason()).isEmpty(); // nobody was there to say it
  }

  private Client client() {
    return Objects.requireNonNull(client);
  }

  private Recorder<ExecuteResponse> execute(String source) {
    Recorder<ExecuteResponse> execute = new Recorder<>();
    client().streams().execute(Client.bash(sandbox, source), execute);
    await()
        .until(() ->
            execute.responses().stream().anyMatch(response -> response.getEvent().hasStdout()));
    return execute;
  }

  private Recorder<AttachExecutionResponse> attach(Recorder<ExecuteResponse> execute) {
    Recorder<AttachExecutionResponse> attach = new Recorder<>();
    client()
        .streams()
        .attachExecution(
            AttachExecutionRequest.newBuilder()
                .setExecutionId(
                    execute.responses().getFirst().getEvent().getStarted().getExecutionId())
                .build(),
            attach);
    await().until(() -> !attach.responses().isEmpty());
    return attach;
  }

  /** Begins an upload and waits until something of it is in the sandbox. */
  private Recorder<WriteFileResponse> upload() {
    Recorder<WriteFileResponse> answer = new Recorder<>();
    StreamObserver<WriteFileRequest> upload = client().uploads().writeFile(answer);
    upload.onNext(
        WriteFileRequest.newBuilder()
            .setTarget(WriteFileTarget.newBuilder().setSandboxId(sandbox).setPath("half"))
            .build());
    upload.onNext(
        WriteFileRequest.newBuilder().setData(ByteString.copyFrom(new byte[200_000])).build());
    await()
        .until(() -> !client().run(Client.bash(sandbox, "find . -type f -size +100k")).isEmpty());
    return answer;
  }
}
