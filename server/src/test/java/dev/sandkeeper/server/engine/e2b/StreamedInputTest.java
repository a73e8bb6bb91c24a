package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.server.Server;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.URI;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

// Goal: input goes out message by message while its call lasts, and how the call ends is told.
// Method: a server that reads the request as it comes, and answers when the test says so.
@Timeout(40)
final class StreamedInputTest {
  private static final int PATIENCE_SECONDS = 20;
  private static final String END_OF_BODY = "end of the body";

  private final HttpCalls http = new HttpCalls(Duration.ofSeconds(2));
  private final BlockingQueue<String> received = new LinkedBlockingQueue<>();
  private final BlockingQueue<E2bException> broken = new LinkedBlockingQueue<>();
  private final CompletableFuture<RequestHeaders> headers = new CompletableFuture<>();
  private final CompletableFuture<HttpResponse> answer = new CompletableFuture<>();
  private final Server server =
      Server.builder()
          .http(0)
          .requestTimeoutMillis(0)
          .service("/process.Process/StreamInput", (_, request) -> take(request))
          .build();
  private Envd envd;

  @BeforeEach
  void start() {
    server.start().join();
    URI uri = URI.create("http://127.0.0.1:" + server.activeLocalPort());
    E2bSettings settings = E2bSettings.of("example.org", Optional.of(uri), Optional.of(uri));
    Optional<String> token = Optional.of("the-token");
    Session session =
        new Session("i1", "t1", "0.6.13", token, Optional.empty(), Optional.empty(), false);
    envd = new Envd(settings, http, session);
  }

  @AfterEach
  void close() {
    http.close();
    server.stop().join();
  }

  private HttpResponse take(HttpRequest request) {
    headers.complete(request.headers());
    DataInputStream body = new DataInputStream(request.toInputStream(HttpData.class::cast));
    Thread.ofVirtual()
        .start(() -> {
          try (body) {
            while (true) {
              byte flags = body.readByte();
              byte[] message = new byte[body.readInt()];
              body.readFully(message);
              received.add(flags + " " + new String(message, UTF_8));
            }
          } catch (IOException e) {
            received.add(END_OF_BODY);
          }
        });
    return HttpResponse.of(answer);
  }

  private @Nullable String nextReceived() throws InterruptedException {
    return received.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  private static HttpResponse answer(HttpStatus status, String last) {
    byte[] body = ConnectDecoder.envelope(last.getBytes(UTF_8));
    body[0] = 2;
    MediaType type = MediaType.parse("application/connect+json");
    return HttpResponse.of(status, type, HttpData.wrap(body));
  }

  @Test
  void eachPieceArrivesWhileTheCallLasts() throws Exception {
    try (ProcessInput input = envd.openInput(7, broken::add)) {
      assertThat(nextReceived()).isEqualTo("0 {\"start\":{\"process\":{\"pid\":7}}}");
      input.write("hello".getBytes(UTF_8));
      assertThat(nextReceived()).isEqualTo("0 {\"data\":{\"input\":{\"stdin\":\"aGVsbG8=\"}}}");
      input.write(new byte[] {0, -1});
      assertThat(nextReceived()).isEqualTo("0 {\"data\":{\"input\":{\"stdin\":\"AP8=\"}}}");
    }

    assertThat(nextReceived()).isEqualTo(END_OF_BODY);
    assertThat(broken).isEmpty();
    RequestHeaders sent = headers.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    assertThat(sent.get("content-type")).isEqualTo("application/connect+json");
    assertThat(sent.get("connect-protocol-version")).isEqualTo("1");
    assertThat(sent.get("x-access-token")).isEqualTo("the-token");
    assertThat(sent.get("e2b-sandbox-id")).isEqualTo("i1");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "200 | {\"error\":{\"code\":\"not_found\",\"message\":\"no process\"}} | NOT_FOUND",
        "200 | {\"error\":{\"code\":\"unimplemented\"}} | REFUSED",
        "200 | {} | BROKEN",
        "200 | [ | BROKEN",
        "411 | - | REFUSED",
        "503 | - | UNAVAILABLE"
      })
  void anAnswerEndsIt(int status, String last, E2bException.Kind kind) throws Exception {
    ProcessInput input = envd.openInput(7, broken::add);
    assertThat(nextReceived()).isNotNull();
    answer.complete(answer(HttpStatus.valueOf(status), last));

    E2bException reason = broken.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
    assertThat(reason).isNotNull();
    assertThat(reason.kind()).isEqualTo(kind);
    assertThat(reason.getMessage()).doesNotContain("the-token");
    input.close();
    assertThat(broken).isEmpty();
  }

  @Test
  void writingIsRefusedOnceItIsOver() throws Exception {
    ProcessInput input = envd.openInput(7, broken::add);
    assertThat(nextReceived()).isNotNull();
    answer.complete(answer(HttpStatus.OK, "{}"));
    assertThat(broken.poll(PATIENCE_SECONDS, TimeUnit.SECONDS)).isNotNull();

    assertThatThrownBy(() -> input.write(new byte[1])).isInstanceOf(E2bException.class);
  }
}
