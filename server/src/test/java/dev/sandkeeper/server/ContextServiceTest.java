package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.finished;
import static dev.sandkeeper.server.Caller.stdout;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Context;
import dev.sandkeeper.v1.CreateContextRequest;
import dev.sandkeeper.v1.DeleteContextRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.InterruptContextRequest;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListContextsRequest;
import dev.sandkeeper.v1.RestartContextRequest;
import dev.sandkeeper.v1.RunOnceRequest;
import io.grpc.Status;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Contexts through a real channel. */
class ContextServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_EXECUTION_MAX_CONTEXTS", "3"));

  private static Caller caller;

  @BeforeAll
  static void connect() {
    caller = server.runner();
  }

  @Test
  void contextsAreCreatedListedAndDeleted() {
    String sandbox = caller.create().getSandboxId();
    Context mine = create(sandbox, "mine", Language.LANGUAGE_PYTHON);
    Context made = create(sandbox, "", Language.LANGUAGE_BASH);

    assertThat(mine.getContextId()).isEqualTo("mine");
    assertThat(mine.hasCreateTime()).isTrue();
    assertThat(made.getContextId()).matches("[a-z0-9]{20}");
    assertThat(list(sandbox))
        .contains(mine, made)
        .element(0)
        .satisfies(first -> {
          assertThat(first.getContextId()).isEqualTo("python");
          assertThat(first.getLanguage()).isEqualTo(Language.LANGUAGE_PYTHON);
          assertThat(first.hasCreateTime()).isFalse();
        });
    delete(sandbox, "mine");
    assertThat(list(sandbox)).contains(made).doesNotContain(mine);
  }

  @Test
  void codeRunsInTheContextItNames() {
    String sandbox = caller.create().getSandboxId();
    create(sandbox, "a", Language.LANGUAGE_PYTHON);
    create(sandbox, "sh", Language.LANGUAGE_BASH);
    caller.execute(request(sandbox, Language.LANGUAGE_PYTHON, "a", "x = 1"));
    caller.execute(request(sandbox, Language.LANGUAGE_BASH, "sh", "cd /tmp; y=2"));

    assertThat(stdout(caller.execute(request(sandbox, Language.LANGUAGE_PYTHON, "a", "print(x)"))))
        .isEqualTo("1\n");
    assertThat(
            stdout(caller.execute(request(sandbox, Language.LANGUAGE_BASH, "sh", "pwd; echo $y"))))
        .isEqualTo("/tmp\n2\n");
    assertThat(caller.python(sandbox, "x")).anyMatch(ExecutionEvent::hasError);
  }

  @Test
  void interruptAndRestartReachWhatRuns() {
    String sandbox = caller.create().getSandboxId();
    create(sandbox, "a", Language.LANGUAGE_PYTHON);
    Iterator<ExecuteResponse> stream =
        caller
            .sandboxes()
            .execute(request(sandbox, Language.LANGUAGE_PYTHON, "a", "x = 1\nwhile True: pass"));
    assertThat(stream.next().getEvent().hasStarted()).isTrue();
    caller
        .contexts()
        .interruptContext(
            InterruptContextRequest.newBuilder().setSandboxId(sandbox).setContextId("a").build());
    assertThat(Caller.events(stream))
        .filteredOn(ExecutionEvent::hasError)
        .singleElement()
        .satisfies(event -> assertThat(event.getError().getName()).isEqualTo("KeyboardInterrupt"));

    caller
        .contexts()
        .restartContext(
            RestartContextRequest.newBuilder().setSandboxId(sandbox).setContextId("a").build());
    List<ExecutionEvent> after =
        caller.execute(request(sandbox, Language.LANGUAGE_PYTHON, "a", "'x' in dir() and exit(9)"));
    assertThat(finished(after).getExitCode()).isZero();
  }

  @Test
  void anIdThatIsTakenIsRefused() {
    String sandbox = caller.create().getSandboxId();
    create(sandbox, "a", Language.LANGUAGE_PYTHON);

    for (String id : List.of("a", "python")) {
      Refusal refusal =
          Refusal.of(
              Status.Code.ALREADY_EXISTS,
              ErrorReason.ALREADY_EXISTS,
              () -> create(sandbox, id, Language.LANGUAGE_PYTHON));
      assertThat(refusal.info().getMetadataMap()).containsEntry("contextId", id);
    }
  }

  @Test
  void moreThanMayBeAreRefused() {
    String sandbox = caller.create().getSandboxId();
    for (int i = 0; i < 3; i++) {
      create(sandbox, "", Language.LANGUAGE_PYTHON);
    }

    Refusal refusal =
        Refusal.of(
            Status.Code.RESOURCE_EXHAUSTED,
            ErrorReason.TOO_MANY_CONTEXTS,
            () -> create(sandbox, "", Language.LANGUAGE_PYTHON));
    assertThat(refusal.info().getMetadataMap()).containsEntry("maxContexts", "3");
  }

  @Test
  void unknownContextsAreNotFoundAndTheRepetitionOfWhatRanStillIs() {
    String sandbox = caller.create().getSandboxId();
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.CONTEXT_NOT_FOUND,
        () -> caller.execute(request(sandbox, Language.LANGUAGE_PYTHON, "a", "1")));
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.CONTEXT_NOT_FOUND, () -> delete(sandbox, "a"));
    create(sandbox, "a", Language.LANGUAGE_PYTHON);
    ExecuteRequest request =
        request(sandbox, Language.LANGUAGE_PYTHON, "a", "print(7)").toBuilder()
            .setRequestId(UUID.randomUUID().toString())
            .build();
    List<ExecutionEvent> events = caller.execute(request);
    delete(sandbox, "a");

    assertThat(caller.execute(request)).isEqualTo(events);
  }

  @Test
  void whatDoesNotFitIsRefusedByItsName() {
    String sandbox = caller.create().getSandboxId();
    create(sandbox, "a", Language.LANGUAGE_PYTHON);

    assertThat(
            Refusal.ofField(
                "code.context_id",
                () -> caller.execute(request(sandbox, Language.LANGUAGE_BASH, "a", "ls"))))
        .contains("a (expected: a context of BASH");
    Refusal.ofField("context_id", () -> create(sandbox, "No Such Name", Language.LANGUAGE_PYTHON));
    Refusal.ofField("language", () -> create(sandbox, "b", Language.LANGUAGE_UNSPECIFIED));
    Refusal.ofField("context_id", () -> delete(sandbox, "python"));
    Refusal.ofField(
        "code.context_id",
        () ->
            caller.runOnce(
                RunOnceRequest.newBuilder()
                    .setCode(code(Language.LANGUAGE_PYTHON, "a", "1"))
                    .build()));
    Refusal.ofField(
        "working_directory",
        () ->
            caller
                .contexts()
                .createContext(
                    CreateContextRequest.newBuilder()
                        .setSandboxId(sandbox)
                        .setLanguage(Language.LANGUAGE_PYTHON)
                        .setWorkingDirectory("../..")
                        .build()));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.FILE_NOT_FOUND,
        () ->
            caller
                .contexts()
                .createContext(
                    CreateContextRequest.newBuilder()
                        .setSandboxId(sandbox)
                        .setLanguage(Language.LANGUAGE_PYTHON)
                        .setWorkingDirectory("/no/such")
                        .build()));
  }

  @Test
  void aSandboxThatIsNotThereIsNotFound() {
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.SANDBOX_NOT_FOUND, () -> list("0".repeat(20)));
  }

  private static Context create(String sandbox, String id, Language language) {
    return caller
        .contexts()
        .createContext(
            CreateContextRequest.newBuilder()
                .setSandboxId(sandbox)
                .setContextId(id)
                .setLanguage(language)
                .build())
        .getContext();
  }

  private static void delete(String sandbox, String id) {
    var _ =
        caller
            .contexts()
            .deleteContext(
                DeleteContextRequest.newBuilder().setSandboxId(sandbox).setContextId(id).build());
  }

  private static List<Context> list(String sandbox) {
    return caller
        .contexts()
        .listContexts(ListContextsRequest.newBuilder().setSandboxId(sandbox).build())
        .getContextsList();
  }

  private static Code code(Language language, String context, String source) {
    return Code.newBuilder().setLanguage(language).setContextId(context).setSource(source).build();
  }

  private static ExecuteRequest request(
      String sandbox, Language language, String context, String source) {
    return ExecuteRequest.newBuilder()
        .setSandboxId(sandbox)
        .setCode(code(language, context, source))
        .build();
  }
}
