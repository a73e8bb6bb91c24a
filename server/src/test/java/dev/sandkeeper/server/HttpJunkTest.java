package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import com.google.rpc.Code;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.CallOptions;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What no honest client sends is refused in the shape of every other refusal, and costs little. */
class HttpJunkTest {
  private static final int MAX_MESSAGE = 64 << 10;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_SERVER_MAX_MESSAGE_SIZE", MAX_MESSAGE + " B"));

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "GET /v1/sandboxes/../sandboxes HTTP/1.1          | 400",
        "GET /v1/sandboxes/%2e%2e/sandboxes HTTP/1.1      | 400",
        "GET /v1/sandboxes/a%00b HTTP/1.1                 | 400",
        "GET /v1/sandboxes/%zz HTTP/1.1                   | 400",
        "GET /v1/sandboxes/%FF HTTP/1.1                   | 400",
        "GET /v1/sandboxes?page_token=%zz HTTP/1.1        | 400",
        "GET v1/sandboxes HTTP/1.1                        | 400",
        "TRACE /v1/sandboxes HTTP/1.1                     | 405",
        "OPTIONS /v1/sandboxes HTTP/1.1                   | 405",
        "PATCH /v1/sandboxes/aaaaaaaaaaaaaaaaaaaa HTTP/1.1 | 405",
        "GET /v1/executions/aaaaaaaaaaaaaaaaaaaa/events/ HTTP/1.1 | 404",
      })
  void aRequestLineIsRefused(String line, int status) throws IOException {
    String answer = send(line + "\r\n" + head());

    assertRefusal(answer, status);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "content-length: 2\\r\\ncontent-length: 3 | 400",
        "content-length: -1                       | 400",
        "content-length: two                      | 400",
        "expect: more                             | 417",
        "transfer-encoding: rot13                 | 400",
      })
  void aHeaderIsRefused(String headers, int status) throws IOException {
    String answer =
        send(
            "POST /v1/sandboxes HTTP/1.1\r\ncontent-type: application/json\r\n"
                + headers.replace("\\r\\n", "\r\n")
                + "\r\n"
                + head()
                + "{}");

    assertRefusal(answer, status);
  }

  @Test
  void headOfWhatHasNoneHasNoBody() throws IOException {
    String answer = send("HEAD /v1/sandboxes HTTP/1.1\r\n" + head());

    assertThat(answer).startsWith("HTTP/1.1 405 ").endsWith("\r\n\r\n");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"/v1/sandboxes", "/v1/prices", "/v1/executions/aaaaaaaaaaaaaaaaaaaa/events"})
  void aBodyWhereNoneBelongsIsNotGathered(String path) throws IOException {
    try (Socket socket = connect()) {
      OutputStream out = socket.getOutputStream();
      out.write(ascii("GET " + path + " HTTP/1.1\r\ncontent-length: 100000000\r\n" + head()));

      assertRefusal(answer(socket), 413);
    }
  }

  @Test
  void aLittleTooMuchIsRefusedByTheMessagesBound() {
    assertThat(refusal(MAX_MESSAGE + 1)).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
  }

  // Many times, as the answer overtakes the request now here, now there; now and then the
  // connection
  // is lost over it, but never is the answer one that a client cannot read.
  @Test
  void farTooMuchIsRefusedAsItArrives() {
    assertThat(IntStream.range(0, 100).mapToObj(_ -> refusal(10 * MAX_MESSAGE)))
        .contains(Status.Code.RESOURCE_EXHAUSTED)
        .doesNotContain(Status.Code.INTERNAL);
  }

  @Test
  void aStreamOfMessagesMayBeLonger() {
    Caller caller = server.runner();
    String sandbox = caller.create().getSandboxId();
    int parts = 40;
    CompletableFuture<Long> uploaded = new CompletableFuture<>();
    StreamObserver<WriteFileRequest> out =
        FileServiceGrpc.newStub(caller.channel())
            .writeFile(
                new StreamObserver<WriteFileResponse>() {
                  @Override
                  public void onNext(WriteFileResponse value) {
                    uploaded.complete(value.getFile().getSizeBytes());
                  }

                  @Override
                  public void onError(Throwable t) {
                    uploaded.completeExceptionally(t);
                  }

                  @Override
                  public void onCompleted() {}
                });
    out.onNext(
        WriteFileRequest.newBuilder()
            .setTarget(WriteFileTarget.newBuilder().setSandboxId(sandbox).setPath("file"))
            .build());
    for (int i = 0; i < parts; i++) {
      out.onNext(
          WriteFileRequest.newBuilder()
              .setData(ByteString.copyFrom(new byte[MAX_MESSAGE / 2]))
              .build());
    }
    out.onCompleted();

    assertThat(uploaded)
        .succeedsWithin(Duration.ofSeconds(30))
        .isEqualTo((long) parts * MAX_MESSAGE / 2);
  }

  @Test
  void anUnknownCallIsUnimplemented() {
    MethodDescriptor<ExecuteRequest, ExecuteRequest> unknown =
        MethodDescriptor.<ExecuteRequest, ExecuteRequest>newBuilder()
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName("sandkeeper.v1.NoService/NoCall")
            .setRequestMarshaller(ProtoUtils.marshaller(ExecuteRequest.getDefaultInstance()))
            .setResponseMarshaller(ProtoUtils.marshaller(ExecuteRequest.getDefaultInstance()))
            .build();

    assertThatThrownBy(() ->
            ClientCalls.blockingUnaryCall(
                server.runner().channel(),
                unknown,
                CallOptions.DEFAULT,
                ExecuteRequest.getDefaultInstance()))
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            refusal -> {
              assertThat(refusal.getStatus().getCode()).isEqualTo(Status.Code.UNIMPLEMENTED);
              assertThat(StatusProto.fromThrowable(refusal))
                  .isNotNull()
                  .extracting(status -> status.getCode())
                  .isEqualTo(Code.UNIMPLEMENTED_VALUE);
            });
  }

  private static Status.Code refusal(int bytes) {
    ExecuteRequest request =
        ExecuteRequest.newBuilder()
            .setSandboxId("a".repeat(20))
            .setStdin(ByteString.copyFrom(new byte[bytes]))
            .build();
    try {
      var events = Caller.events(server.runner().sandboxes().execute(request));
      throw new AssertionError("not refused: " + events);
    } catch (StatusRuntimeException e) {
      return e.getStatus().getCode();
    }
  }

  private static void assertRefusal(String answer, int status) {
    assertThat(answer).startsWith("HTTP/1.1 " + status + " ");
    assertThat(answer).contains("content-type: application/json");
    assertThat(answer)
        .contains("\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo");
  }

  private static String head() {
    return "host: localhost\r\nconnection: close\r\nauthorization: Bearer "
        + server.admin().secret()
        + "\r\n\r\n";
  }

  private static String send(String request) throws IOException {
    try (Socket socket = connect()) {
      socket.getOutputStream().write(ascii(request));
      return answer(socket);
    }
  }

  private static Socket connect() throws IOException {
    Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port());
    socket.setSoTimeout(30_000);
    return socket;
  }

  private static String answer(Socket socket) throws IOException {
    return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }
}
