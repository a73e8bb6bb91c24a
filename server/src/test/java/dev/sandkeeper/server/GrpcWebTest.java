package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import com.google.rpc.Status;
import dev.sandkeeper.server.HttpCaller.Answer;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.CreateSandboxResponse;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.GetSandboxRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** gRPC-Web as it is on the wire, in both of its forms: frames, and frames in base64. */
class GrpcWebTest {
  private static final int TRAILERS = 0x80;
  private static final String TEXT = "application/grpc-web-text+proto";

  @RegisterExtension static final RunningServer server = new RunningServer();

  private final HttpCaller caller = new HttpCaller(server);

  @AfterEach
  void closeCaller() {
    caller.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"application/grpc-web+proto", "application/grpc-web", TEXT})
  void aSandboxIsCreatedAndRunsSomething(String type) throws Exception {
    Reply created = call(type, "CreateSandbox", CreateSandboxRequest.getDefaultInstance());
    String sandbox =
        CreateSandboxResponse.parseFrom(created.messages().getFirst()).getSandbox().getSandboxId();
    Reply executed = call(type, "Execute", Caller.shellRequest(sandbox, "echo one; echo two >&2"));

    assertThat(created.trailers()).containsEntry("grpc-status", "0");
    assertThat(executed.trailers()).containsEntry("grpc-status", "0");
    List<ExecutionEvent> events = new ArrayList<>();
    for (ByteString message : executed.messages()) {
      events.add(ExecuteResponse.parseFrom(message).getEvent());
    }
    assertThat(Caller.stdout(events)).isEqualTo("one\n");
    assertThat(Caller.stderr(events)).isEqualTo("two\n");
    assertThat(Caller.finished(events).getExitCode()).isZero();
  }

  @ParameterizedTest
  @ValueSource(strings = {"application/grpc-web+proto", TEXT})
  void aRefusalHasItsDetails(String type) throws Exception {
    Reply refused =
        call(
            type,
            "GetSandbox",
            GetSandboxRequest.newBuilder().setSandboxId("a".repeat(20)).build());

    assertThat(refused.messages()).isEmpty();
    assertThat(refused.trailers()).containsEntry("grpc-status", "5");
    Status status =
        Status.parseFrom(
            Base64.getDecoder().decode(refused.trailers().get("grpc-status-details-bin")));
    assertThat(status.getMessage()).isNotEmpty();
    assertThat(status.getDetails(0).toString()).contains("SANDBOX_NOT_FOUND");
  }

  /**
   * What came back.
   *
   * @param messages in their order
   * @param trailers the last frame, or the headers when there is none
   */
  private record Reply(List<ByteString> messages, Map<String, String> trailers) {}

  private Reply call(String type, String method, MessageLite request) {
    byte[] message = request.toByteArray();
    byte[] frame =
        ByteBuffer.allocate(5 + message.length)
            .put((byte) 0)
            .putInt(message.length)
            .put(message)
            .array();
    Answer answer =
        caller.send(
            "POST",
            "/sandkeeper.v1.SandboxService/" + method,
            BodyPublishers.ofByteArray(
                type.equals(TEXT) ? Base64.getEncoder().encode(frame) : frame),
            "content-type",
            type,
            "x-grpc-web",
            "1");
    assertThat(answer.status()).isEqualTo(200);
    assertThat(answer.header("content-type")).startsWith(type);
    Map<String, String> headers = new TreeMap<>();
    answer
        .response()
        .headers()
        .map()
        .forEach((name, values) -> headers.put(name, values.getFirst()));
    return reply(type.equals(TEXT) ? decoded(answer.text()) : answer.bytes(), headers);
  }

  /** Decodes base64 that was encoded in pieces, each with its own padding. */
  private static byte[] decoded(String base64) {
    ByteString bytes = ByteString.EMPTY;
    for (int i = 0; i < base64.length(); i += 4) {
      bytes =
          bytes.concat(ByteString.copyFrom(Base64.getDecoder().decode(base64.substring(i, i + 4))));
    }
    return bytes.toByteArray();
  }

  private static Reply reply(byte[] body, Map<String, String> headers) {
    List<ByteString> messages = new ArrayList<>();
    Map<String, String> trailers = headers;
    ByteBuffer frames = ByteBuffer.wrap(body);
    while (frames.hasRemaining()) {
      int flags = frames.get() & 0xff;
      byte[] payload = new byte[frames.getInt()];
      frames.get(payload);
      if (flags == TRAILERS) {
        trailers = new TreeMap<>();
        for (String line : new String(payload, StandardCharsets.US_ASCII).lines().toList()) {
          int colon = line.indexOf(':');
          trailers.put(
              line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).strip());
        }
      } else {
        messages.add(ByteString.copyFrom(payload));
      }
    }
    return new Reply(messages, trailers);
  }
}
