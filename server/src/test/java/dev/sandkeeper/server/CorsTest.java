package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.HttpCaller.Answer;
import java.net.http.HttpRequest.BodyPublishers;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Pages of the configured origins may call everything, others nothing. */
class CorsTest {
  private static final String ORIGIN = "https://app.example";

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of("SANDKEEPER_SERVER_CORS_ALLOWED_ORIGINS", ORIGIN + ", http://localhost:5173"));

  private final HttpCaller caller = new HttpCaller(server);

  @AfterEach
  void closeCaller() {
    caller.close();
  }

  @ParameterizedTest
  @CsvSource({
    "POST, /v1/sandboxes",
    "DELETE, /v1/sandboxes/aaaaaaaaaaaaaaaaaaaa",
    "POST, /api/v1/sandboxes/aaaaaaaaaaaaaaaaaaaa/execute",
    "GET, /v1/executions/aaaaaaaaaaaaaaaaaaaa/events",
    "PUT, /v1/sandboxes/aaaaaaaaaaaaaaaaaaaa/files/x",
    "POST, /sandkeeper.v1.SandboxService/Execute",
  })
  void aPageOfAnAllowedOriginMayCall(String method, String path) {
    Answer answer = preflight(ORIGIN, method, path);

    assertThat(answer.status()).isEqualTo(200);
    assertThat(answer.header("access-control-allow-origin")).isEqualTo(ORIGIN);
    assertThat(answer.header("access-control-allow-methods")).contains(method);
    assertThat(answer.header("access-control-allow-headers").toLowerCase(java.util.Locale.ROOT))
        .contains("authorization", "x-grpc-web", "last-event-id");
    assertThat(answer.header("access-control-max-age")).isEqualTo("600");
    assertThat(answer.header("access-control-allow-credentials")).isEmpty();
  }

  @Test
  void aPageOfAnotherOriginMayNot() {
    assertThat(allowed(preflight("https://evil.example", "POST", "/v1/sandboxes"))).isEmpty();
    assertThat(allowed(preflight("http://app.example", "POST", "/v1/sandboxes"))).isEmpty();
    assertThat(allowed(preflight("null", "POST", "/v1/sandboxes"))).isEmpty();
    assertThat(allowed(caller.get("/v1/sandboxes", "origin", "https://evil.example"))).isEmpty();
  }

  @Test
  void whatIsAnsweredMayBeRead() {
    for (String path : new String[] {"/v1/sandboxes", "/v1/nothing", "/v1/sandboxes/SHORT"}) {
      Answer answer = caller.get(path, "origin", ORIGIN);

      assertThat(allowed(answer)).as(path).isEqualTo(ORIGIN);
      assertThat(answer.header("access-control-expose-headers"))
          .contains("grpc-status", "grpc-message", "grpc-status-details-bin", "retry-after");
      assertThat(answer.header("vary")).containsIgnoringCase("origin");
    }
  }

  private static String allowed(Answer answer) {
    return answer.header("access-control-allow-origin");
  }

  private Answer preflight(String origin, String method, String path) {
    return caller.send(
        caller
            .anonymous(
                path,
                "origin",
                origin,
                "access-control-request-method",
                method,
                "access-control-request-headers",
                "authorization,content-type,x-grpc-web,last-event-id")
            .method("OPTIONS", BodyPublishers.noBody()));
  }
}
