package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.TypeRegistry;
import com.google.protobuf.util.JsonFormat;
import com.google.rpc.Status;
import dev.sandkeeper.server.HttpCaller.Answer;
import dev.sandkeeper.v1.ErrorDetails;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is wrong with an HTTP request is told as a google.rpc.Status, whoever finds it. */
class HttpErrorsTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_SERVER_MAX_MESSAGE_SIZE", "64 KiB"));

  private final HttpCaller caller = new HttpCaller(server);
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = server.runner().create().getSandboxId();
  }

  @AfterEach
  void closeCaller() {
    caller.close();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"timeout\": ",
        "{\"timeout\": \"9s\"} x",
        "{} {}",
        "{\"timeout\": \"9s\", \"timeout\": \"8s\"}",
        "{'timeout': '9s'}",
        "[]",
        "null",
        "7",
        " ",
      })
  void aBodyIsOneJsonObject(String body) throws Exception {
    for (String path : new String[] {"/v1/sandboxes", "/v1/sandboxes/" + sandbox + "/execute"}) {
      Answer answer = caller.post(path, body);

      assertRefused(answer, 400, "INVALID_FIELD");
      assertThat(answer.text()).contains("\"field\":\"body\"");
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"/v1/sandboxes", "/v1/sandboxes/SANDBOX/execute"})
  void bodiesAreStrict(String path) throws Exception {
    String to = path.replace("SANDBOX", sandbox);
    Answer unknown = caller.post(to, "{\"timout\": \"9s\"}");
    assertThat(unknown.status()).isEqualTo(400);
    assertThat(unknown.text()).contains("timout");
    Answer badUtf8 =
        post(
            to, BodyPublishers.ofByteArray(new byte[] {'{', '"', (byte) 0xff, '"', ':', '1', '}'}));
    assertRefused(badUtf8, 400, "INVALID_FIELD");
    assertRefused(post(to, BodyPublishers.noBody()), 400, "INVALID_FIELD");
    assertRefused(
        caller.send("POST", to, BodyPublishers.ofString("{}")), 415, "HTTP_UNSUPPORTED_MEDIA_TYPE");
    assertRefused(
        caller.send("POST", to, BodyPublishers.ofString("{}"), "content-type", "text/plain"),
        415,
        "HTTP_UNSUPPORTED_MEDIA_TYPE");
    assertRefused(caller.post(to + "?timeout=9s", "{}"), 400, "INVALID_FIELD");
  }

  @ParameterizedTest
  @ValueSource(strings = {"/v1/sandboxes", "/v1/sandboxes/SANDBOX/execute"})
  void aBodyHasABound(String path) throws Exception {
    String to = path.replace("SANDBOX", sandbox);
    byte[] big =
        ("{\"template\": \"" + "x".repeat(100_000) + "\"}").getBytes(StandardCharsets.UTF_8);

    assertRefused(post(to, BodyPublishers.ofByteArray(big)), 413, "SIZE_LIMIT_EXCEEDED");
    BodyPublisher unannounced =
        BodyPublishers.ofInputStream(() -> new java.io.ByteArrayInputStream(big));
    assertRefused(post(to, unannounced), 413, "SIZE_LIMIT_EXCEEDED");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "/v1/sandboxes?page_sise=1                  | page_sise",
        "/v1/sandboxes?page_size=one                | page_size",
        "/v1/sandboxes?pageSize=1.5                 | pageSize",
        "/v1/sandboxes?page_size=1&page_size=2      | page_size",
        "/v1/sandboxes?states=RUNNING               | states",
        "/v1/sandboxes?states=SANDBOX_STATE_RUNNING&states=x | states",
        "/v1/sandboxes?page_size=-1                 | page_size",
        "/v1/sandboxes/SANDBOX?sandbox_id=other     | sandbox_id",
        "/v1/cost-records?start_time=yesterday      | start_time",
        "/v1/executions/aaaaaaaaaaaaaaaaaaaa/events?after=x   | after",
        "/v1/executions/aaaaaaaaaaaaaaaaaaaa/events?after=-1  | after",
        "/v1/executions/aaaaaaaaaaaaaaaaaaaa/events?after=    | after",
        "/v1/executions/aaaaaaaaaaaaaaaaaaaa/events?after=1&after=2 | after",
        "/v1/executions/aaaaaaaaaaaaaaaaaaaa/events?before=1  | before",
        "/v1/executions/SHORT/events                | execution_id",
      })
  void aWrongParameterIsNamed(String path, String field) throws Exception {
    Answer answer =
        caller.get(
            path.replace("SANDBOX/", sandbox + "/").replace("/SANDBOX?", "/" + sandbox + "?"));

    assertRefused(answer, 400, "INVALID_FIELD");
    assertThat(answer.text()).contains("\"field\":\"" + field + "\"");
  }

  @Test
  void parametersHaveBothOfTheirNames() {
    assertThat(caller.get("/v1/sandboxes?page_size=1&pageToken=").status()).isEqualTo(200);
    assertThat(caller.get("/v1/sandboxes?pageSize=1").at("/sandboxes").size()).isEqualTo(1);
  }

  @Test
  void whereThereIsNothing() throws Exception {
    assertRefused(caller.get("/v1/nothing"), 404, "HTTP_NOT_FOUND");
    assertRefused(caller.get("/"), 404, "HTTP_NOT_FOUND");
    Answer wrongMethod = caller.call("PUT", "/api/v1/sandboxes", "");
    assertRefused(wrongMethod, 405, "HTTP_METHOD_NOT_ALLOWED");
    assertThat(wrongMethod.header("allow").split(", ")).containsExactlyInAnyOrder("GET", "POST");
    assertThat(caller.delete("/v1/sandboxes/" + sandbox + "/files/x").header("allow"))
        .isEqualTo("GET, HEAD, PUT");
    assertRefused(
        caller.get("/v1/sandboxes/" + sandbox + "/execute"), 405, "HTTP_METHOD_NOT_ALLOWED");
    assertRefused(caller.call("GET", "/v1/sandboxes", "{}"), 400, "INVALID_FIELD");
  }

  @Test
  void whoCallsIsChecked() throws Exception {
    for (String path :
        new String[] {"/v1/sandboxes", "/v1/executions/" + "a".repeat(20) + "/events"}) {
      Answer answer = caller.send(caller.anonymous(path).GET());

      assertRefused(answer, 401, "INVALID_CREDENTIALS");
      assertThat(answer.header("www-authenticate")).isEqualTo("Bearer");
    }
    Answer noScope =
        caller.send(
            caller
                .anonymous(
                    "/v1/sandboxes/" + sandbox + "/execute", "content-type", "application/json")
                .header("authorization", "Bearer " + server.reader().secret())
                .POST(BodyPublishers.ofString("{\"command\": {\"shell\": \"true\"}}")));
    assertRefused(noScope, 403, "SCOPE_MISSING");
  }

  private Answer post(String path, BodyPublisher body) {
    return caller.send("POST", path, body, "content-type", "application/json");
  }

  private static void assertRefused(Answer answer, int status, String reason) throws Exception {
    assertThat(answer.status()).as("%s", answer.text()).isEqualTo(status);
    assertThat(answer.header("content-type")).isEqualTo("application/json; charset=utf-8");
    Status.Builder parsed = Status.newBuilder();
    JsonFormat.parser().usingTypeRegistry(errorDetails()).merge(answer.text(), parsed);
    assertThat(parsed.getCode()).isNotZero();
    assertThat(parsed.getMessage()).isNotEmpty();
    assertThat(answer.reason()).isEqualTo(reason);
  }

  private static TypeRegistry errorDetails() {
    TypeRegistry.Builder registry = TypeRegistry.newBuilder();
    ErrorDetails.getDescriptor().getFields().forEach(field -> registry.add(field.getMessageType()));
    return registry.build();
  }
}
