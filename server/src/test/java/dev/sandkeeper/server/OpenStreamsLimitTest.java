package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.rpc.RetryInfo;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunTasksRequest;
import dev.sandkeeper.v1.Scope;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.Task;
import dev.sandkeeper.v1.WatchDirectoryRequest;
import dev.sandkeeper.v1.WatchDirectoryResponse;
import io.grpc.Context;
import io.grpc.Status;
import java.net.http.HttpRequest.BodyPublishers;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Calls that stay open are bounded: of a key, of a tenant, and in all. */
class OpenStreamsLimitTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_SERVER_MAX_OPEN_STREAMS_PER_KEY", "1",
              "SANDKEEPER_SERVER_MAX_OPEN_STREAMS_PER_TENANT", "2",
              "SANDKEEPER_SERVER_MAX_OPEN_STREAMS", "3"));

  private final Context.CancellableContext streams = Context.current().withCancellation();

  @Test
  void aCallTooManyIsRefusedAndStartsNothing() {
    String sandbox = server.runner().create().getSandboxId();
    String othersSandbox = server.stranger().create().getSandboxId();
    Caller otherStranger =
        server.newCaller(
            key -> key.setTenantId(RunningServer.OTHER_TENANT).addScopes(Scope.SCOPE_RUN));
    try {
      open(server.runner(), sandbox);
      for (ThrowingCallable further : streamsOf(server.runner(), sandbox)) {
        refused("key", further);
      }
      try (HttpCaller http = new HttpCaller(server)) {
        HttpCaller.Answer answer =
            http.send(
                http.anonymous(
                        "/v1/sandboxes/" + sandbox + "/execute",
                        "authorization",
                        "Bearer " + server.runner().secret(),
                        "content-type",
                        "application/json")
                    .POST(BodyPublishers.ofString("{\"command\": {\"shell\": \"touch ran\"}}")));
        assertThat(answer.status()).isEqualTo(429);
        assertThat(answer.reason()).isEqualTo(ErrorReason.TOO_MANY_REQUESTS.name());
        assertThat(answer.header("retry-after")).isEqualTo("1");
      }
      open(server.admin(), sandbox);
      refused("tenant", () -> server.reader().files().watchDirectory(watch(sandbox)).hasNext());
      open(server.stranger(), othersSandbox);
      refused("server", () -> otherStranger.files().watchDirectory(watch(othersSandbox)).hasNext());
      assertThat(server.metric("sandkeeper_stream_active")).isEqualTo(3);

      assertThat(
              server
                  .runner()
                  .executions()
                  .listExecutions(ListExecutionsRequest.newBuilder().setSandboxId(sandbox).build())
                  .getExecutionsList())
          .isEmpty();
      Refusal.of(
          Status.Code.NOT_FOUND,
          ErrorReason.FILE_NOT_FOUND,
          () ->
              server
                  .runner()
                  .files()
                  .stat(StatRequest.newBuilder().setSandboxId(sandbox).setPath("ran").build()));
    } finally {
      var _ = streams.cancel(null);
    }
    // What has ended counts no more.
    await().until(() -> server.metric("sandkeeper_stream_active") == 0);
    assertThat(Caller.stdout(server.runner().shell(sandbox, "echo well"))).isEqualTo("well\n");
  }

  private static List<ThrowingCallable> streamsOf(Caller caller, String sandbox) {
    return List.of(
        () -> caller.shell(sandbox, "touch ran"),
        () ->
            caller.runOnce(
                RunOnceRequest.newBuilder()
                    .setCommand(Command.newBuilder().setShell("true"))
                    .build()),
        () ->
            caller
                .executions()
                .runTasks(
                    RunTasksRequest.newBuilder()
                        .setSandboxId(sandbox)
                        .setMaxConcurrency(1)
                        .addTasks(
                            Task.newBuilder()
                                .setTaskId("task")
                                .setCommand(Command.newBuilder().setShell("touch ran")))
                        .build())
                .hasNext(),
        () -> caller.files().watchDirectory(watch(sandbox)).hasNext());
  }

  private static void refused(String limit, ThrowingCallable call) {
    Refusal refusal =
        Refusal.of(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.TOO_MANY_REQUESTS, call);
    assertThat(refusal.info().getMetadataMap()).containsEntry("limit", limit);
    assertThat(refusal.detail(RetryInfo.class)).isPresent();
  }

  /** Opens a call that stays open until the test is over. */
  private void open(Caller caller, String sandbox) {
    try {
      Iterator<WatchDirectoryResponse> stream =
          streams.call(() -> caller.files().watchDirectory(watch(sandbox)));
      assertThat(stream.next()).isNotNull();
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private static WatchDirectoryRequest watch(String sandbox) {
    return WatchDirectoryRequest.newBuilder().setSandboxId(sandbox).setPath(".").build();
  }
}
