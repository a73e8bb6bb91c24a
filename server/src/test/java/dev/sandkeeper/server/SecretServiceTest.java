package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.executionId;
import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.pythonRequest;
import static dev.sandkeeper.server.Caller.shellRequest;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.DeleteSecretRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListSecretsRequest;
import dev.sandkeeper.v1.ListSecretsResponse;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.Secret;
import dev.sandkeeper.v1.SecretReference;
import dev.sandkeeper.v1.SetSecretRequest;
import io.grpc.Status;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Secrets by name through a real channel. */
class SecretServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of("SANDKEEPER_SECRETS_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="));

  private static final String VALUE = "correct-Horse/battery+staple";
  private static final String MARK = "[redacted:secret:DB_PASSWORD]";

  private Caller admin;
  private Caller caller;
  private String sandbox;

  @BeforeEach
  void createSandboxAndSecret() {
    admin = server.admin();
    caller = server.runner();
    sandbox = caller.create().getSandboxId();
    set(admin, "DB_PASSWORD", VALUE);
  }

  @AfterEach
  void nothingReadableWasKept() throws IOException {
    for (String table : List.of("secret", "sandbox_secret", "audit_event", "execution")) {
      assertThat(
              server
                  .database()
                  .context()
                  .resultQuery("select t::text from " + table + " t")
                  .fetch(0, String.class))
          .noneMatch(row ->
              row.contains(VALUE)
                  || row.contains(
                      HexFormat.of().formatHex(VALUE.getBytes(StandardCharsets.US_ASCII))));
    }
    try (Stream<Path> files = Files.walk(server.dataFolder().resolve("journal"))) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        assertThat(Files.readString(file, StandardCharsets.ISO_8859_1)).doesNotContain(VALUE);
      }
    }
  }

  @Test
  void secretsAreSetListedAndDeletedWithoutTheirValues() {
    Secret first = set(admin, "A_TOKEN", "first value");
    Secret second = set(admin, "A_TOKEN", "second value");

    assertThat(second.getCreateTime()).isEqualTo(first.getCreateTime());
    ListSecretsResponse listed =
        admin.secrets().listSecrets(ListSecretsRequest.getDefaultInstance());
    assertThat(listed.getSecretsList()).contains(second);
    assertThat(listed.toString()).doesNotContain("value").doesNotContain(VALUE);
    assertThat(
            server
                .stranger()
                .secrets()
                .listSecrets(ListSecretsRequest.getDefaultInstance())
                .getSecretsList())
        .isEmpty();

    delete("A_TOKEN");
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.SECRET_NOT_FOUND, () -> delete("A_TOKEN"));
    assertThat(audited("secret_change"))
        .extracting(AuditEvent::getDetail)
        .contains("set A_TOKEN", "deleted A_TOKEN");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "7 bytes", "   short   ", "with \0 a NUL"})
  void whatCannotBeRedactedIsRefused(String value) {
    Refusal.of(
        Status.Code.INVALID_ARGUMENT, ErrorReason.INVALID_FIELD, () -> set(admin, "SHORT", value));
  }

  @Test
  void onlyTheExecutionThatNamesItHasIt() {
    List<ExecutionEvent> with =
        caller.execute(given(shellRequest(sandbox, "printenv PGPASSWORD | wc -c"), "PGPASSWORD"));
    assertThat(stdout(with).strip()).isEqualTo("" + (VALUE.length() + 1));
    assertThat(stdout(caller.shell(sandbox, "env"))).doesNotContain("PGPASSWORD");
    assertThat(audited("secret_use"))
        .anyMatch(event ->
            event.getExecutionId().equals(executionId(with))
                && event.getDetail().equals("DB_PASSWORD"));
  }

  @Test
  void noOutputOfTheSandboxShowsIt() {
    String line =
        "echo $DB_PASSWORD; echo -n $DB_PASSWORD | base64; echo -n $DB_PASSWORD | xxd -p;"
            + " echo $DB_PASSWORD | rev; echo $DB_PASSWORD > kept";
    List<ExecutionEvent> events = caller.execute(given(shellRequest(sandbox, line), ""));

    assertThat(stdout(events).lines().toList())
        .hasSize(4)
        .allMatch(shown -> shown.startsWith(MARK) && shown.length() < MARK.length() + 5);
    assertThat(stdout(caller.shell(sandbox, "cat kept"))).isEqualTo(MARK + "\n");
  }

  @Test
  void pythonHasItForOneCell() {
    List<ExecutionEvent> events =
        caller.execute(
            given(
                pythonRequest(
                    sandbox, "import os\nkept = os.environ['DB_PASSWORD']\nprint(len(kept))\nkept"),
                ""));
    assertThat(stdout(events)).isEqualTo(VALUE.length() + "\n");
    assertThat(events.toString()).contains(MARK).doesNotContain(VALUE);
    assertThat(stdout(caller.python(sandbox, "print('DB_PASSWORD' in os.environ, kept)")))
        .isEqualTo("False " + MARK + "\n");
  }

  @Test
  void oneOffRunsAreGivenThem() {
    List<ExecutionEvent> events = new ArrayList<>();
    caller
        .runOnce(
            RunOnceRequest.newBuilder()
                .setCode(
                    Code.newBuilder()
                        .setLanguage(Language.LANGUAGE_PYTHON)
                        .setSource("import os\nprint(os.environ['DB_PASSWORD'][::-1])"))
                .addSecrets(SecretReference.newBuilder().setName("DB_PASSWORD"))
                .build())
        .forEach(step -> events.add(step.getEvent()));
    assertThat(stdout(events)).isEqualTo(MARK + "\n");
  }

  @Test
  void theNextServerRedactsWhatAnEarlierOneGave() throws Exception {
    Iterator<ExecuteResponse> stream =
        caller
            .sandboxes()
            .execute(
                given(
                    shellRequest(
                        sandbox, "while [ ! -e go ]; do sleep 0.01; done; echo $DB_PASSWORD"),
                    ""));
    String executionId = stream.next().getEvent().getStarted().getExecutionId();
    set(admin, "DB_PASSWORD", "another value");
    server.restart();
    caller = server.runner();
    caller.shell(sandbox, "touch go");

    assertThat(stdout(caller.attach(executionId, 0))).isEqualTo(MARK + "\n");
  }

  @Test
  void whatASandboxWasGivenIsForgottenWithIt() {
    caller.execute(given(shellRequest(sandbox, "true"), ""));
    assertThat(givenTo(sandbox)).isEqualTo(1);
    caller.terminate(sandbox);
    assertThat(givenTo(sandbox)).isZero();
  }

  @Test
  void whatCannotBeGivenIsRefused() {
    ExecuteRequest request = shellRequest(sandbox, "true");
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.SECRET_NOT_FOUND,
        () ->
            caller.execute(
                request.toBuilder()
                    .addSecrets(SecretReference.newBuilder().setName("NONE"))
                    .build()));
    Refusal.of(
        Status.Code.INVALID_ARGUMENT,
        ErrorReason.INVALID_FIELD,
        () ->
            caller.execute(
                given(request, "PGPASSWORD").toBuilder()
                    .putEnvironment("PGPASSWORD", "other")
                    .build()));
    Refusal.of(
        Status.Code.INVALID_ARGUMENT,
        ErrorReason.INVALID_FIELD,
        () -> caller.execute(given(Caller.javaScriptRequest(sandbox, "1"), "")));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () -> set(caller, "DB_PASSWORD", "mine now"));
  }

  @Test
  void aRepeatedRequestHasItsEventsWhenTheSecretIsGone() {
    set(admin, "PASSING", "a passing value");
    ExecuteRequest request =
        shellRequest(sandbox, "echo $PASSING").toBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .addSecrets(SecretReference.newBuilder().setName("PASSING"))
            .build();
    List<ExecutionEvent> events = caller.execute(request);
    delete("PASSING");

    assertThat(caller.execute(request)).isEqualTo(events);
    assertThat(finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
  }

  @Test
  void moreThanASandboxCanBeGivenStartsNothing() {
    for (int i = 0; i < 5; i++) {
      set(admin, "LARGE_" + i, ("" + i).repeat(16_000));
    }
    ExecuteRequest.Builder request = shellRequest(sandbox, "true").toBuilder();
    for (int i = 0; i < 5; i++) {
      request.addSecrets(SecretReference.newBuilder().setName("LARGE_" + i));
    }
    List<ExecutionEvent> events = caller.execute(request.build());

    assertThat(finished(events).getReason()).isEqualTo(FinishReason.FINISH_REASON_NOT_STARTED);
    assertThat(events)
        .anyMatch(event -> event.getError().getName().equals(ErrorReason.TOO_MANY_SECRETS.name()));
  }

  private static int givenTo(String sandbox) {
    return server
        .database()
        .context()
        .resultQuery("select name from sandbox_secret where sandbox_id = ?", sandbox)
        .fetch()
        .size();
  }

  private static ExecuteRequest given(ExecuteRequest request, String variable) {
    return request.toBuilder()
        .addSecrets(SecretReference.newBuilder().setName("DB_PASSWORD").setVariable(variable))
        .build();
  }

  private static Secret set(Caller by, String name, String value) {
    return by.secrets()
        .setSecret(SetSecretRequest.newBuilder().setName(name).setValue(value).build())
        .getSecret();
  }

  private void delete(String name) {
    var _ = admin.secrets().deleteSecret(DeleteSecretRequest.newBuilder().setName(name).build());
  }

  private List<AuditEvent> audited(String operation) {
    return admin
        .audit()
        .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(1000).build())
        .getAuditEventsList()
        .stream()
        .filter(event -> event.getOperation().equals(operation))
        .toList();
  }
}
