package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.HttpCaller.Answer;
import java.net.http.HttpRequest;
import java.util.UUID;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The same calls by HTTP/JSON, the docs page and the metrics, on the same port. */
class HttpJsonTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private final HttpCaller caller = new HttpCaller(server);

  private String sandbox;
  private String execution;

  @AfterEach
  void closeCaller() {
    caller.close();
  }

  @BeforeEach
  void createSandbox() {
    sandbox = server.runner().create().getSandboxId();
    execution = Caller.executionId(server.runner().shell(sandbox, "echo x >file"));
  }

  @Test
  void aSandboxLivesAndEndsByJson() {
    Answer created =
        call(
            "POST",
            "/v1/sandboxes",
            "{\"requestId\": \"%s\", \"timeout\": \"120s\", \"metadata\": {\"a\": \"ı\"}}"
                .formatted(UUID.randomUUID()));
    String id = created.at("/sandbox/sandboxId").asText();
    Answer found = call("GET", "/v1/sandboxes/" + id, "");
    Answer ended = call("DELETE", "/v1/sandboxes/" + id, "");

    assertThat(created.status()).isEqualTo(201);
    assertThat(created.header("content-type")).isEqualTo("application/json; charset=utf-8");
    assertThat(created.header("cache-control")).isEqualTo("no-store");
    assertThat(created.at("/sandbox/state").asText()).isEqualTo("SANDBOX_STATE_RUNNING");
    assertThat(created.at("/sandbox/timeout").asText()).isEqualTo("120s");
    assertThat(created.at("/sandbox/metadata/a").asText()).isEqualTo("ı");
    assertThat(found.json()).isEqualTo(created.json());
    assertThat(ended.status()).isEqualTo(204);
    assertThat(ended.bytes()).isEmpty();
    assertThat(call("GET", "/v1/sandboxes/" + id, "").at("/sandbox/state").asText())
        .isEqualTo("SANDBOX_STATE_TERMINATED");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "GET    | /v1/sandboxes?page_size=1&states=SANDBOX_STATE_RUNNING | | 200 | /sandboxes/0/sandboxId",
        "GET    | /v1/sandboxes/SANDBOX/usage               | | 200 | /usage/lifetime",
        "GET    | /v1/sandboxes/SANDBOX/executions          | | 200 | /executions/0/executionId",
        "GET    | /v1/executions/EXECUTION                  | | 200 | /execution/finished/reason",
        "POST   | /v1/executions/EXECUTION:signal           | {\"signal\": 15} | 200 | ",
        "GET    | /v1/sandboxes/SANDBOX/files:list?path=.   | | 200 | /files/0/path",
        "GET    | /v1/sandboxes/SANDBOX/uploads/6f0c3a52-6d0e-4b8e-9a53-1f2c8f5b7e11 | | 200 | ",
        "GET    | /v1/sandboxes/SANDBOX/files:stat?path=file | | 200 | /file/sizeBytes",
        "GET    | /v1/sandboxes/SANDBOX/files:list?path=.&depth=2 | | 200 | /files/0/relativePath",
        "POST   | /v1/sandboxes/SANDBOX/files:makeDirectory | {\"path\": \"a/b\"} | 200 | /file/type",
        "POST   | /v1/sandboxes/SANDBOX/files:move          | {\"path\": \"file\", \"toPath\": \"a/b/c\"} | 200 | /file/path",
        "POST   | /v1/sandboxes/SANDBOX/files:remove        | {\"path\": \"file\"} | 200 | ",
        "GET    | /v1/templates                             | | 200 | /templates/0/name",
        "GET    | /v1/prices                                | | 200 | /prices/0/tier",
        "GET    | /v1/prices/standard                       | | 200 | /price/usdPerCoreSecond",
        "POST   | /v1/prices:estimate                       | {\"timeout\": \"10s\"} | 200 | /holdNanoUsd",
        "GET    | /v1/limits                                | | 200 | ",
        "GET    | /v1/quota                                 | | 200 | ",
        "GET    | /v1/cost-records?sandbox_id=SANDBOX       | | 200 | ",
        "GET    | /v1/audit-events?page_size=1              | | 200 | /auditEvents/0/operation",
        "GET    | /v1/audit-events:verify                   | | 200 | /intact",
        "GET    | /v1/webhooks                              | | 200 | ",
        "GET    | /v1/webhook-deliveries?page_size=1        | | 200 | ",
        "POST   | /v1/tenants                               | {\"tenantId\": \"by-json\"} | 201 | /tenantId",
        "POST   | /v1/api-keys | {\"scopes\": [\"SCOPE_READ\"], \"name\": \"json\"} | 201 | /secret",
        "GET    | /v1/api-keys                              | | 200 | /apiKeys/0/keyId",
        "GET    | /v1/invariants                            | | 200 | ",
      })
  void everyCallHasAPath(String method, String path, String body, int status, String pointer) {
    Answer answer = call(method, path, body == null ? "" : body);

    assertThat(answer.status()).as("%s", answer.text()).isEqualTo(status);
    if (pointer != null) {
      assertThat(answer.at(pointer).isMissingNode()).as("%s", answer.text()).isFalse();
    }
  }

  @Test
  void pricesLimitsAndKeysAreChangedByJson() {
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
    Answer gone = call("DELETE", "/v1/limits/" + limit.at("/limit/limitId").asText(), "");
    Answer key = call("POST", "/v1/api-keys", "{\"scopes\": [\"SCOPE_READ\"]}");
    Answer revoked = call("DELETE", "/v1/api-keys/" + key.at("/apiKey/keyId").asText(), "");

    assertThat(price.status()).as("%s", price.text()).isEqualTo(201);
    assertThat(price.at("/price/usdPerSecond").asText()).isEqualTo("0.001");
    assertThat(limit.status()).as("%s", limit.text()).isEqualTo(200);
    assertThat(limit.at("/limit/amountNanoUsd").asText()).isEqualTo("1000000000");
    assertThat(gone.status()).isEqualTo(204);
    assertThat(revoked.status()).isEqualTo(204);
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
      String method, String path, String body, int status, int code, String reason) {
    Answer answer = call(method, path, body == null ? "" : body);

    assertThat(answer.status()).as("%s", answer.text()).isEqualTo(status);
    assertThat(answer.at("/code").asInt()).isEqualTo(code);
    assertThat(answer.at("/message").asText()).isNotEmpty();
    assertThat(answer.reason()).isEqualTo(reason);
  }

  @Test
  void otherRefusalsHaveTheirStatus() {
    String id = UUID.randomUUID().toString();
    var _ = call("POST", "/v1/sandboxes", "{\"requestId\": \"%s\"}".formatted(id));
    Answer reused =
        call("POST", "/v1/sandboxes", "{\"requestId\": \"%s\", \"timeout\": \"7s\"}".formatted(id));
    Answer noKey = call("", "GET", "/v1/sandboxes", "");
    Answer noScope = call(server.reader().secret(), "POST", "/v1/sandboxes", "{}");
    Answer limit =
        call("POST", "/v1/limits", "{\"period\": \"LIMIT_PERIOD_DAY\", \"amountNanoUsd\": \"0\"}");
    Answer exhausted = call("POST", "/v1/sandboxes", "{}");
    var _ = call("DELETE", "/v1/limits/" + limit.at("/limit/limitId").asText(), "");

    assertThat(reused.status()).isEqualTo(409);
    assertThat(reused.reason()).isEqualTo("REQUEST_ID_REUSED");
    assertThat(noKey.status()).isEqualTo(401);
    assertThat(noKey.reason()).isEqualTo("INVALID_CREDENTIALS");
    assertThat(noScope.status()).isEqualTo(403);
    assertThat(noScope.reason()).isEqualTo("SCOPE_MISSING");
    assertThat(exhausted.status()).isEqualTo(429);
    assertThat(exhausted.reason()).isEqualTo("QUOTA_EXCEEDED");
    assertThat(exhausted.text())
        .contains("limitId", "remainingNanoUsd", "resetTime", "QuotaFailure");
  }

  @Test
  void theDocsPageShowsCommentsAndExamples() {
    Answer page = get("", "/docs/");
    Answer contract = get("", "/docs/specification.json");

    assertThat(page.status()).isEqualTo(200);
    assertThat(page.header("content-type")).contains("text/html");
    assertThat(contract.status()).isEqualTo(200);
    assertThat(contract.text())
        .contains("Creates a sandbox and returns when it is ready.")
        .contains("print(sum(range(10)))")
        .contains("sandkeeper.v1.SandboxService");
  }

  @Test
  void metricsAreForAdministrators() {
    Answer metrics = get(server.admin().secret(), "/metrics");

    assertThat(metrics.status()).isEqualTo(200);
    assertThat(metrics.text())
        .contains("sandkeeper_sandbox_create_total")
        .contains("sandkeeper_sandbox_active")
        .contains("sandkeeper_execution_duration_seconds")
        .contains("sandkeeper_ledger_latency")
        .contains("sandkeeper_engine_call_duration");
    assertThat(get("", "/metrics").status()).isEqualTo(401);
    assertThat(get(server.runner().secret(), "/metrics").status()).isEqualTo(403);
  }

  @Test
  void healthAnswersAnybody() {
    assertThat(get("", "/health").status()).isEqualTo(200);
  }

  private Answer call(String method, String path, String body) {
    return caller.call(method, filled(path), body);
  }

  private Answer call(String secret, String method, String path, String body) {
    HttpRequest.Builder request =
        caller
            .anonymous(path, "content-type", "application/json")
            .method(method, HttpRequest.BodyPublishers.ofString(body));
    return caller.send(
        secret.isEmpty() ? request : request.header("authorization", "Bearer " + secret));
  }

  private Answer get(String secret, String path) {
    HttpRequest.Builder request = caller.anonymous(path);
    return caller.send(
        secret.isEmpty() ? request : request.header("authorization", "Bearer " + secret));
  }

  private String filled(String path) {
    return path.replace("SANDBOX", sandbox)
        .replace("EXECUTION", execution)
        .replace("states=" + sandbox + "_STATE", "states=SANDBOX_STATE");
  }
}
