package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.jooq.Tables;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.CreateApiKeyRequest;
import dev.sandkeeper.v1.CreateApiKeyResponse;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import dev.sandkeeper.v1.RevokeApiKeyRequest;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.Scope;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * A key that stops working ends the streams that it began within five seconds; what runs in the
 * sandbox does not notice.
 */
class OpenStreamsTest {
  /** What is promised, and the same again and more for a busy machine. */
  private static final Duration BOUND = Duration.ofSeconds(20);

  @RegisterExtension static final RunningServer server = new RunningServer();

  private CreateApiKeyResponse key;
  private Caller caller;
  private String sandbox;

  @BeforeEach
  void makeKeyAndSandbox() {
    key = newKey(CreateApiKeyRequest.newBuilder());
    caller = server.caller(key.getSecret());
    sandbox = server.runner().create().getSandboxId();
  }

  @Test
  void revokedKeyEndsItsStreamsAndTheProgramRunsOn() throws Exception {
    Recorder<ExecuteResponse> execute = executeUntilTold(caller);
    Recorder<AttachExecutionResponse> attach = attach(caller, executionId(execute));
    Recorder<AttachExecutionResponse> other = attach(server.reader(), executionId(execute));
    await().until(() -> !attach.responses().isEmpty() && !other.responses().isEmpty());

    Instant revoked = Instant.now();
    revoke();
    assertUnauthenticated(execute);
    assertUnauthenticated(attach);

    assertThat(Duration.between(revoked, Instant.now())).isLessThan(BOUND);
    assertThat(other.isOver()).isFalse();
    var _ = server.runner().shell(sandbox, "touch go");
    other.awaitSuccess();
    var events = server.runner().attach(executionId(execute), 0);
    assertThat(Caller.stdout(events)).isEqualTo("one\ntwo\n");
    assertThat(Caller.finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
  }

  @Test
  void keyRevokedByAnotherServerEndsItsStreams() throws Exception {
    Recorder<ExecuteResponse> execute = executeUntilTold(caller);
    Instant revoked = Instant.now();
    int rows =
        server
            .database()
            .ownerContext()
            .update(Tables.API_KEY)
            .set(Tables.API_KEY.REVOKE_TIME, DSL.currentInstant())
            .where(Tables.API_KEY.KEY_ID.eq(key.getApiKey().getKeyId()))
            .execute();
    assertThat(rows).isOne();

    assertUnauthenticated(execute);
    assertThat(Duration.between(revoked, Instant.now())).isLessThan(BOUND);
  }

  @Test
  void expiredKeyEndsItsStreams() throws Exception {
    Instant end = Instant.now().plusSeconds(3);
    CreateApiKeyResponse shortLived =
        newKey(
            CreateApiKeyRequest.newBuilder()
                .setExpireTime(Timestamps.fromMillis(end.toEpochMilli())));

    Recorder<ExecuteResponse> execute = executeUntilTold(server.caller(shortLived.getSecret()));
    assertUnauthenticated(execute);

    assertThat(Instant.now()).isBetween(end, end.plus(BOUND));
  }

  @Test
  void revokedKeyEndsADownloadThatIsHeldBack() throws Exception {
    var _ = server.runner().shell(sandbox, "head -c 20000000 /dev/zero >big");
    Download download = new Download();
    FileServiceGrpc.newStub(caller.channel())
        .readFile(
            ReadFileRequest.newBuilder().setSandboxId(sandbox).setPath("big").build(), download);
    assertThat(download.begun.await(30, TimeUnit.SECONDS)).isTrue();

    assertThat(server.metric("sandkeeper_stream_active")).isEqualTo(1);

    revoke();
    // The reader reads nothing, so the end waits for it behind what is on its way.
    await().atMost(BOUND).until(() -> server.metric("sandkeeper_stream_active") == 0);
    download.readOn();

    assertUnauthenticated(download.recorder);
    assertThat(download.bytes()).isLessThan(20_000_000);
  }

  @Test
  void revokedKeyEndsAnUploadAndLeavesNothing() throws Exception {
    Recorder<WriteFileResponse> answer = new Recorder<>();
    StreamObserver<WriteFileRequest> upload =
        FileServiceGrpc.newStub(caller.channel()).writeFile(answer);
    upload.onNext(
        WriteFileRequest.newBuilder()
            .setTarget(WriteFileTarget.newBuilder().setSandboxId(sandbox).setPath("half"))
            .build());
    upload.onNext(
        WriteFileRequest.newBuilder().setData(ByteString.copyFrom(new byte[200_000])).build());
    await()
        .until(() ->
            !Caller.stdout(server.runner().shell(sandbox, "find . -type f -size +100k")).isEmpty());

    revoke();

    assertUnauthenticated(answer);
    assertThat(Caller.stdout(server.runner().shell(sandbox, "find . -type f"))).isEmpty();
  }

  /** Reads one message, and the rest only when it is told to. */
  private static final class Download
      implements ClientResponseObserver<ReadFileRequest, ReadFileResponse> {
    private final CountDownLatch begun = new CountDownLatch(1);
    private final Recorder<ReadFileResponse> recorder = new Recorder<>();
    private final CompletableFuture<ClientCallStreamObserver<ReadFileRequest>> call =
        new CompletableFuture<>();

    @Override
    public void beforeStart(ClientCallStreamObserver<ReadFileRequest> stream) {
      stream.disableAutoRequestWithInitial(1);
      call.complete(stream);
    }

    void readOn() {
      call.join().request(Integer.MAX_VALUE);
    }

    long bytes() {
      return recorder.responses().stream().mapToLong(part -> part.getData().size()).sum();
    }

    @Override
    public void onNext(ReadFileResponse response) {
      recorder.onNext(response);
      begun.countDown();
    }

    @Override
    public void onError(Throwable cause) {
      recorder.onError(cause);
    }

    @Override
    public void onCompleted() {
      recorder.onCompleted();
    }
  }

  private Recorder<ExecuteResponse> executeUntilTold(Caller by) {
    Recorder<ExecuteResponse> execute = new Recorder<>();
    SandboxServiceGrpc.newStub(by.channel())
        .execute(
            Caller.shellRequest(
                sandbox, "echo one; until [ -e go ]; do sleep 0.05; done; echo two"),
            execute);
    await()
        .until(() ->
            execute.responses().stream().anyMatch(response -> response.getEvent().hasStdout()));
    return execute;
  }

  private static Recorder<AttachExecutionResponse> attach(Caller by, String executionId) {
    Recorder<AttachExecutionResponse> attach = new Recorder<>();
    SandboxServiceGrpc.newStub(by.channel())
        .attachExecution(
            AttachExecutionRequest.newBuilder().setExecutionId(executionId).build(), attach);
    return attach;
  }

  private static String executionId(Recorder<ExecuteResponse> execute) {
    return execute.responses().getFirst().getEvent().getStarted().getExecutionId();
  }

  private static CreateApiKeyResponse newKey(CreateApiKeyRequest.Builder key) {
    return server.admin().admin().createApiKey(key.addScopes(Scope.SCOPE_RUN).build());
  }

  private void revoke() {
    var _ =
        server
            .admin()
            .admin()
            .revokeApiKey(
                RevokeApiKeyRequest.newBuilder().setKeyId(key.getApiKey().getKeyId()).build());
  }

  private static void assertUnauthenticated(Recorder<?> call) throws Exception {
    assertThat(call.code()).as("%s", call.failure()).isEqualTo(Status.Code.UNAUTHENTICATED);
    assertThat(call.reason()).isEqualTo(ErrorReason.INVALID_CREDENTIALS.name());
  }
}
