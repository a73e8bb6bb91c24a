package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.UUID;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The same calls by HTTP/JSON, the docs page and the metrics, on the same port. */
class HttpJsonTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private static final HttpClient CLIENT =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  private static final ObjectMapper JSON = new ObjectMapper();

  private String sandbox;
  private String execution;

  @AfterAll
  static void closeClient() {
    CLIENT.close();
  }

  @BeforeEach
  void createSandbox() {
    sandbox = server.runner().create().getSandboxId();
    execution = Caller.executionId(server.runner().shell(sandbox, "echo x >file"));
  }

  private record Answer(int status, JsonNode body) {}

  @Test
  void aSandboxLivesAndEndsByJson() throws Exception {
    Answer created =
        call(
            "POST",
            "/v1/sandboxes",
            "{\"requestId\": \"%s\", \"timeout\": \"120s\", \"metadata\": {\"a\": \"ı\"}}"
                .formatted(UUID.randomUUID()));
    String id = created.body().at("/sandbox/sandboxId").asText();
    Answer found = call("GET", "/v1/sandboxes/" + id, "");
    Answer ended = call("DELETE", "/v1/sandboxes/" + id, "");

    assertThat(created.status()).isEqualTo(200);
    assertThat(created.body().at("/sandbox/state").asText()).isEqualTo("SANDBOX_STATE_RUNNING");
    assertThat(created.body().at("/sandbox/timeout").asText()).isEqualTo("120s");
    assertThat(created.body().at("/sandbox/metadata/a").asText()).isEqualTo("ı");
    assertThat(found.body()).isEqualTo(created.body());
    assertThat(ended.status()).isEqualTo(200);
    assertThat(ended.body().at("/sandbox/state").asText()).isEqualTo("SANDBOX_STATE_TERMINATED");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "GET    | /v1/sandboxes?page_size=1&states=SANDBOX_STATE_RUNNING | | /sandboxes/0/sandboxId",
        "GET    | /v1/sandboxes/SANDBOX/usage               | | /usage/lifetime",
        "GET    | /v1/sandboxes/SANDBOX/executions          | | /executions/0/executionId",
        "GET    | /v1/executions/EXECUTION                  | | /execution/finished/reason",
        "POST   | /v1/executions/EXECUTION:signal           | {\"signal\": 15} | ",
        "GET    | /v1/sandboxes/SANDBOX/files:list?path=.   | | /files/0/path",
        "GET    | /v1/sandboxes/SANDBOX/files:stat?path=file | | /file/sizeBytes",
        "POST   | /v1/sandboxes/SANDBOX/files:remove        | {\"path\": \"file\"} | ",
        "GET    | /v1/templates                             | | /templates/0/name",
        "GET    | /v1/prices                                | | /prices/0/tier",
        "GET    | /v1/prices/standard                       | | /price/usdPerCoreSecond",
        "GET    | /v1/limits                                | | ",
        "GET    | /v1/quota                                 | | ",
        "GET    | /v1/cost-records?sandbox_id=SANDBOX       | | ",
        "GET    | /v1/audit-events?page_size=1              | | /auditEvents/0/operation",
        "GET    | /v1/audit-events:verify                   | | /intact",
        "POST   | /v1/tenants                               | {\"tenantId\": \"by-json\"} | /tenantId",
        "POST   | /v1/api-keys | {\"scopes\": [\"SCOPE_READ\"], \"name\": \"json\"} | /secret",
        "GET    | /v1/api-keys                              | | /apiKeys/0/keyId",
      })
  void everyCallHasAPath(String method, String path, String body, String pointer) throws Exception {
    Answer answer = call(method, path, body == null ? "" : body);

    assertThat(answer.status()).as("%s", answer.body()).isEqualTo(200);
    if (pointer != null) {
      assertThat(answer.body().at(pointer).isMissingNode()).as("%s", answer.body()).isFalse();
    }
  }

  @Test
  void pricesLimitsAndKeysAreChangedByJson() throws Exception {
    Answer price =
        call(
            "POST",
            "/v1/prices",
            "{\"price\": {\"tier\": \"gpu\", \"basis\": \"PRICE_BASIS_MEASURED\","
                + " \"usdPerSecond\": \"0.001\", \"usdPerCoreSecond\": \"0\","
                + " \"usdPerGibSecond\": \"0\"}}");
    Answer limit =
        call(
            "POST",
            "/v1/limits",
            "{\"tenantId\": \"other\", \"period\": \"LIMIT_PERIOD_DAY\","
                + " \"amountNanoUsd\": \"1000000000\"}");
    Answer gone = call("DELETE", "/v1/limits/" + limit.body().at("/limit/limitId").asText(), "");
    Answer key = call("POST", "/v1/api-keys", "{\"scopes\": [\"SCOPE_READ\"]}");
    Answer revoked = call("DELETE", "/v1/api-keys/" + key.body().at("/apiKey/keyId").asText(), "");

    assertThat(price.status()).as("%s", price.body()).isEqualTo(200);
    assertThat(price.body().at("/price/usdPerSecond").asText()).isEqualTo("0.001");
    assertThat(limit.status()).as("%s", limit.body()).isEqualTo(200);
    assertThat(limit.body().at("/limit/amountNanoUsd").asText()).isEqualTo("1000000000");
    assertThat(gone.status()).isEqualTo(200);
    assertThat(revoked.body().at("/apiKey/revokeTime").asText()).isNotEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "GET    | /v1/sandboxes/SHORT                | | 400 | 3 | INVALID_FIELD",
        "GET    | /v1/sandboxes/0123456789abcdefghij | | 404 | 5 | SANDBOX_NOT_FOUND",
        "POST   | /v1/sandboxes | {\"template\": \"nothing\"}     | 404 | 5 | TEMPLATE_NOT_FOUND",
        "POST   | /v1/sandboxes | {\"template\": \"high-memory\"} | 400 | 9 | NO_PRICE_FOR_TIER",
        "POST   | /v1/sandboxes | {\"timeout\": \"-1s\"}          | 400 | 3 | INVALID_FIELD",
      })
  void aRefusalHasItsStatusAndDetails(
      String method, String path, String body, int status, int code, String reason)
      throws Exception {
    Answer answer = call(method, path, body == null ? "" : body);

    assertThat(answer.status()).as("%s", answer.body()).isEqualTo(status);
    assertThat(answer.body().at("/code").asInt()).isEqualTo(code);
    assertThat(answer.body().at("/message").asText()).isNotEmpty();
    assertThat(reason(answer)).isEqualTo(reason);
  }

  @Test
  void otherRefusalsHaveTheirStatus() throws Exception {
    String id = UUID.randomUUID().toString();
    var _ = call("POST", "/v1/sandboxes", "{\"requestId\": \"%s\"}".formatted(id));
    Answer reused =
        call("POST", "/v1/sandboxes", "{\"requestId\": \"%s\", \"timeout\": \"7s\"}".formatted(id));
    Answer noKey = call("", "GET", "/v1/sandboxes", "");
    Answer noScope = call(server.reader().secret(), "POST", "/v1/sandboxes", "{}");
    Answer limit =
        call("POST", "/v1/limits", "{\"period\": \"LIMIT_PERIOD_DAY\", \"amountNanoUsd\": \"0\"}");
    Answer exhausted = call("POST", "/v1/sandboxes", "{}");
    var _ = call("DELETE", "/v1/limits/" + limit.body().at("/limit/limitId").asText(), "");

    assertThat(reused.status()).isEqualTo(409);
    assertThat(reason(reused)).isEqualTo("REQUEST_ID_REUSED");
    assertThat(noKey.status()).isEqualTo(401);
    assertThat(reason(noKey)).isEqualTo("INVALID_CREDENTIALS");
    assertThat(noScope.status()).isEqualTo(403);
    assertThat(reason(noScope)).isEqualTo("SCOPE_MISSING");
    assertThat(exhausted.status()).isEqualTo(429);
    assertThat(reason(exhausted)).isEqualTo("QUOTA_EXCEEDED");
    assertThat(exhausted.body().toString())
        .contains("limitId", "remainingNanoUsd", "resetTime", "QuotaFailure");
  }

  @Test
  void whatIsNoJsonIsRefused() throws Exception {
    assertThat(call("POST", "/v1/sandboxes", "{\"timeout\": ").status()).isEqualTo(400);
    Answer unknown = call("POST", "/v1/sandboxes", "{\"timout\": \"9s\"}");
    assertThat(unknown.status()).isEqualTo(400);
    assertThat(unknown.body().at("/message").asText()).contains("timout");
    assertThat(call("GET", "/v1/nothing", "").status()).isEqualTo(404);
  }

  @Test
  void theDocsPageShowsCommentsAndExamples() throws Exception {
    HttpResponse<String> page = get("", "/docs/");
    HttpResponse<String> contract = get("", "/docs/specification.json");

    assertThat(page.statusCode()).isEqualTo(200);
    assertThat(page.headers().firstValue("content-type").orElse("")).contains("text/html");
    assertThat(contract.statusCode()).isEqualTo(200);
    assertThat(contract.body())
        .contains("Creates a sandbox and returns when it is ready.")
        .contains("print(sum(range(10)))")
        .contains("sandkeeper.v1.SandboxService");
  }

  @Test
  void metricsAreForAdministrators() throws Exception {
    HttpResponse<String> metrics = get(server.admin().secret(), "/metrics");

    assertThat(metrics.statusCode()).isEqualTo(200);
    assertThat(metrics.body())
        .contains("sandkeeper_sandbox_create_total")
        .contains("sandkeeper_sandbox_active")
        .contains("sandkeeper_execution_duration_seconds")
        .contains("sandkeeper_ledger_latency")
        .contains("sandkeeper_engine_call_duration");
    assertThat(get("", "/metrics").statusCode()).isEqualTo(401);
    assertThat(get(server.runner().secret(), "/metrics").statusCode()).isEqualTo(403);
  }

  @Test
  void healthAnswersAnybody() throws Exception {
    assertThat(get("", "/health").statusCode()).isEqualTo(200);
  }

  private static String reason(Answer answer) {
    return answer.body().at("/details").findValuesAsText("reason").getFirst();
  }

  private Answer call(String method, String path, String body) throws Exception {
    return call(server.admin().secret(), method, path, body);
  }

  private Answer call(String secret, String method, String path, String body) throws Exception {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(uri(path))
            .header("content-type", "application/json")
            .method(
                method,
                body.isEmpty()
                    ? HttpRequest.BodyPublishers.noBody()
                    : HttpRequest.BodyPublishers.ofString(body));
    if (!secret.isEmpty()) {
      request.header("authorization", "Bearer " + secret);
    }
    HttpResponse<String> response =
        CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
    boolean json =
        response.headers().firstValue("content-type").orElse("").contains("application/json");
    return new Answer(
        response.statusCode(), json ? JSON.readTree(response.body()) : JSON.createObjectNode());
  }

  private HttpResponse<String> get(String secret, String path) throws Exception {
    HttpRequest.Builder request = HttpRequest.newBuilder(uri(path));
    if (!secret.isEmpty()) {
      request.header("authorization", "Bearer " + secret);
    }
    return CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
  }

  private URI uri(String path) {
    return URI.create(
        "http://127.0.0.1:"
            + server.port()
            + path.replace("SANDBOX", sandbox)
                .replace("EXECUTION", execution)
                .replace("states=" + sandbox + "_STATE", "states=SANDBOX_STATE"));
  }
}
