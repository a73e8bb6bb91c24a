package dev.sandkeeper.server;

import static dev.sandkeeper.jooq.Tables.TEMPLATE;
import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.Duration;
import com.google.protobuf.FieldMask;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.server.HttpCaller.Answer;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.CreateTemplateRequest;
import dev.sandkeeper.v1.DeleteTemplateRequest;
import dev.sandkeeper.v1.GetTemplateRequest;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListTemplatesRequest;
import dev.sandkeeper.v1.Resources;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.Template;
import dev.sandkeeper.v1.UpdateTemplateRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.jooq.impl.DSL;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Templates as operators make them, and what becomes of sandboxes. */
class TemplateServiceTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private final Caller admin = server.admin();

  @AfterEach
  void deleteTemplates() {
    server
        .database()
        .ownerContext()
        .deleteFrom(TEMPLATE)
        .where(TEMPLATE.NAME.notIn("base", "high-memory"))
        .execute();
  }

  @Test
  void aTemplateThatSaysNothingIsAsBaseComes() {
    Template created = create("mine", template -> template);

    assertThat(created.toBuilder().clearName().clearDescription().clearImports().build())
        .isEqualTo(get("base").toBuilder().clearName().clearDescription().clearImports().build());
    assertThat(get("mine")).isEqualTo(created);
    assertThat(
            admin
                .templates()
                .listTemplates(ListTemplatesRequest.getDefaultInstance())
                .getTemplatesList())
        .extracting(Template::getName)
        .containsExactly("base", "high-memory", "mine");
  }

  @ParameterizedTest
  @ValueSource(strings = {"runc", "crun", "runsc"})
  void aSandboxIsMadeAsItsTemplateSays(String runtime) {
    var _ =
        create(
            "mine",
            template ->
                template
                    .setRuntime(runtime)
                    .setDefaultResources(resources(1, 600))
                    .setMaxResources(resources(1, 700))
                    .setDefaultTimeout(seconds(30))
                    .setMaxTimeout(seconds(40)));

    Sandbox sandbox = admin.create(request -> request.setTemplate("mine").clearTimeout());

    assertThat(sandbox.getTemplate()).isEqualTo("mine");
    assertThat(sandbox.getRuntime()).isEqualTo(runtime);
    assertThat(Caller.stdout(admin.shell(sandbox.getSandboxId(), "echo here"))).isEqualTo("here\n");
    assertThat(sandbox.getResources()).isEqualTo(resources(1, 600));
    assertThat(sandbox.getTimeout()).isEqualTo(seconds(30));
    assertThat(admin.get(sandbox.getSandboxId())).isEqualTo(sandbox);
    Refusal.of(
        Status.Code.INVALID_ARGUMENT,
        ErrorReason.INVALID_FIELD,
        () -> admin.create(request -> request.setTemplate("mine").setTimeout(seconds(41))));
  }

  @Test
  void aSandboxSaysTheRuntimeItsServerTookByDefault() {
    assertThat(admin.create().getRuntime()).isEqualTo("runc");
  }

  @Test
  void aTemplateCanBeChangedAndDeletedWhileItsSandboxesRun() {
    var _ = create("mine", template -> template.setDefaultTimeout(seconds(120)));
    Sandbox sandbox = admin.create(request -> request.setTemplate("mine").clearTimeout());

    var _ = update("mine", template -> template.setDefaultTimeout(seconds(60)));
    assertThat(admin.get(sandbox.getSandboxId()).getTimeout()).isEqualTo(seconds(120));
    delete("mine");

    assertThat(Caller.stdout(admin.shell(sandbox.getSandboxId(), "echo here"))).isEqualTo("here\n");
    assertThat(admin.terminate(sandbox.getSandboxId()).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(admin.get(sandbox.getSandboxId()).getTemplate()).isEqualTo("mine");
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.TEMPLATE_NOT_FOUND,
        () -> admin.create(request -> request.setTemplate("mine")));
  }

  @Test
  void aChangeTakesTheGivenFieldsAndKeepsTheRest() {
    Template created =
        create(
            "mine",
            template ->
                template
                    .setDescription("old")
                    .setRuntime("runc")
                    .setMaxResources(resources(2, 2048))
                    .addImports("numpy")
                    .addImports("pandas"));

    Template changed =
        update("mine", template -> template.setDescription("new").addImports("math"));

    assertThat(changed)
        .isEqualTo(
            created.toBuilder().setDescription("new").clearImports().addImports("math").build());
    assertThat(get("mine")).isEqualTo(changed);
  }

  @Test
  void aMaskSetsBackWhatIsNotGivenAndReachesInside() {
    Template created =
        create(
            "mine",
            template ->
                template
                    .setRuntime("runc")
                    .setMaxTimeout(seconds(100))
                    .setMaxResources(resources(2, 2048)));

    Template changed =
        update("mine", template -> template, "runtime", "max_timeout", "max_resources.cpu_cores");

    assertThat(changed)
        .isEqualTo(
            created.toBuilder()
                .clearRuntime()
                .setMaxTimeout(seconds(86_400))
                .setMaxResources(resources(8, 2048))
                .build());
  }

  @Test
  void enginesAreNamedAndSetBack() {
    Template created =
        create("mine", template -> template.setEngine("local").addFallbackEngines("local"));
    assertThat(created.getEngine()).isEqualTo("local");
    assertThat(created.getFallbackEnginesList()).containsExactly("local");
    assertThat(get("mine")).isEqualTo(created);

    Template changed = update("mine", template -> template, "engine", "fallback_engines");

    assertThat(changed).isEqualTo(created.toBuilder().clearEngine().clearFallbackEngines().build());
    assertThat(get("base").getEngine()).isEmpty();
    Refusal.ofField(
        "template.engine_template",
        () -> update("mine", template -> template.setEngineTemplate("alias")));
    assertThat(
            Refusal.ofField(
                "template.engine", () -> create("yours", template -> template.setEngine("Local"))))
        .isNotEmpty();
  }

  @Test
  void theNameStaysWhateverAChangeSays() {
    var _ = create("mine", template -> template);

    var _ = update("mine", template -> template.setName("yours"), "name");

    assertThat(get("mine").getName()).isEqualTo("mine");
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.TEMPLATE_NOT_FOUND, () -> get("yours"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"colour", "max_resources.colour", "runtime.name"})
  void aMaskThatNamesNoFieldIsRefusedByItsName(String path) {
    assertThat(Refusal.ofField("update_mask", () -> update("base", template -> template, path)))
        .contains(path);
  }

  @Test
  void aChangeOfNothingIsRefused() {
    Refusal.of(
        Status.Code.INVALID_ARGUMENT,
        ErrorReason.INVALID_FIELD,
        () -> update("base", template -> template));
  }

  @Test
  void aRuntimeThatTheServerLacksIsRefusedWithWhatThereIs() {
    Refusal refusal =
        Refusal.of(
            Status.Code.FAILED_PRECONDITION,
            ErrorReason.RUNTIME_MISSING,
            () -> create("mine", template -> template.setRuntime("kata")));

    assertThat(refusal.info().getMetadataMap())
        .containsEntry("template", "mine")
        .containsEntry("runtime", "kata")
        .hasEntrySatisfying("runtimes", there -> assertThat(there).startsWith("runc"));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.RUNTIME_MISSING,
        () -> update("base", template -> template.setRuntime("kata")));
    assertThat(get("base").getRuntime()).isEmpty();
  }

  /** As when it was made through another server, which has the runtime. */
  @Test
  void aSandboxWhoseRuntimeIsNotHereIsRefusedBeforeAnythingIsHeld() {
    var _ = create("elsewhere", template -> template);
    server
        .database()
        .ownerContext()
        .update(TEMPLATE)
        .set(TEMPLATE.RUNTIME, "kata")
        .where(TEMPLATE.NAME.eq("elsewhere"))
        .execute();

    Refusal refusal =
        Refusal.of(
            Status.Code.FAILED_PRECONDITION,
            ErrorReason.RUNTIME_MISSING,
            () -> admin.create(request -> request.setTemplate("elsewhere")));

    assertThat(refusal.info().getMetadataMap())
        .containsEntry("template", "elsewhere")
        .containsEntry("runtime", "kata")
        .containsKey("runtimes");
    assertThat(
            server
                .database()
                .ownerContext()
                .fetchCount(DSL.table("sandbox"), DSL.field("template").eq("elsewhere")))
        .isZero();
  }

  @ParameterizedTest
  @CsvSource({
    "4, 512, 2, 1024, 8, 8192, template.default_resources.cpu_cores",
    "1, 2048, 2, 1024, 8, 8192, template.default_resources.memory_mib",
    "3, 512, 2, 1024, 2, 8192, template.min_resources.cpu_cores",
    "1, 4096, 2, 4096, 8, 2048, template.min_resources.memory_mib",
  })
  void rangesThatHoldNoDefaultAreRefusedByTheirField(
      int minCores,
      int minMemory,
      int cores,
      int memory,
      int maxCores,
      int maxMemory,
      String field) {
    assertThat(
            Refusal.ofField(
                field,
                () ->
                    create(
                        "mine",
                        template ->
                            template
                                .setMinResources(resources(minCores, minMemory))
                                .setDefaultResources(resources(cores, memory))
                                .setMaxResources(resources(maxCores, maxMemory)))))
        .contains("expected: ");
  }

  @Test
  void aChangeIsCheckedTogetherWithWhatStays() {
    var _ = create("mine", template -> template.setDefaultTimeout(seconds(100)));

    assertThat(
            Refusal.ofField(
                "template.default_timeout",
                () -> update("mine", template -> template.setMaxTimeout(seconds(99)))))
        .contains("PT1M40S", "PT1M39S");
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "Mine", "-mine", "my_own", "a/b"})
  void namesAreSmallLettersDigitsAndHyphens(String name) {
    Refusal.of(
        Status.Code.INVALID_ARGUMENT,
        ErrorReason.INVALID_FIELD,
        () -> create(name, template -> template));
  }

  @ParameterizedTest
  @ValueSource(strings = {"/usr/bin/runc", "-runc", "Runc", "a b", "runc\n"})
  void runtimesAreNamesAndNoPaths(String runtime) {
    Refusal.of(
        Status.Code.INVALID_ARGUMENT,
        ErrorReason.INVALID_FIELD,
        () -> create("mine", template -> template.setRuntime(runtime)));
  }

  @Test
  void aNameThatIsTakenIsRefused() {
    Refusal.of(
        Status.Code.ALREADY_EXISTS,
        ErrorReason.ALREADY_EXISTS,
        () -> create("base", template -> template));
  }

  @Test
  void whatIsNotThereIsNotFound() {
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.TEMPLATE_NOT_FOUND, () -> get("none"));
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.TEMPLATE_NOT_FOUND, () -> delete("none"));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.TEMPLATE_NOT_FOUND,
        () -> update("none", template -> template.setDescription("x")));
  }

  @Test
  void thereAreAtMostAThousandAlsoWhenSeveralAreMadeAtOnce() throws Exception {
    int callers = 8;
    server
        .database()
        .ownerContext()
        .execute(
            "insert into template select 'many-' || i, '', tier, engine, default_cpu_cores,"
                + " min_cpu_cores, max_cpu_cores, default_memory_mib, min_memory_mib,"
                + " max_memory_mib, disk_mib, default_timeout_ms, max_timeout_ms"
                + " from template, generate_series(1, 995) i where name = 'base'");
    CyclicBarrier barrier = new CyclicBarrier(callers);

    List<Future<Boolean>> made;
    try (ExecutorService threads = Executors.newFixedThreadPool(callers)) {
      made =
          threads.invokeAll(
              IntStream.range(0, callers)
                  .<Callable<Boolean>>mapToObj(i ->
                      () -> {
                        barrier.await();
                        return isMade("more-" + i);
                      })
                  .toList());
    }

    assertThat(made.stream().filter(Future::resultNow)).hasSize(3);
    assertThat(
            admin
                .templates()
                .listTemplates(ListTemplatesRequest.getDefaultInstance())
                .getTemplatesCount())
        .isEqualTo(1000);
  }

  private boolean isMade(String name) {
    try {
      var _ = create(name, template -> template);
      return true;
    } catch (StatusRuntimeException e) {
      assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
      return false;
    }
  }

  @Test
  void everyChangeIsRecordedWithItsFields() {
    var _ = create("audited", template -> template);
    var _ = update("audited", template -> template.setDescription("x").setRuntime("runc"));
    delete("audited");

    assertThat(
            admin
                .audit()
                .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(1000).build())
                .getAuditEventsList())
        .filteredOn(event -> event.getOperation().equals("template_change"))
        .extracting(AuditEvent::getDetail)
        .contains("created audited", "changed audited: description,runtime", "deleted audited");
  }

  @Test
  void theSameByJson() {
    try (HttpCaller http = new HttpCaller(server)) {
      Answer created =
          http.post(
              "/v1/templates",
              "{\"name\": \"mine\", \"template\": {\"runtime\": \"runc\", \"imports\":"
                  + " [\"math\"]}}");
      Answer changed =
          http.post(
              "/v1/templates/mine:update",
              "{\"template\": {\"maxTimeout\": \"90s\"}, \"updateMask\": \"maxTimeout,imports\"}");
      Answer got = http.get("/v1/templates/mine");
      Answer deleted = http.delete("/v1/templates/mine");

      assertThat(created.status()).isEqualTo(201);
      assertThat(created.at("/template/runtime").asText()).isEqualTo("runc");
      assertThat(changed.status()).isEqualTo(200);
      assertThat(changed.at("/template/maxTimeout").asText()).isEqualTo("90s");
      assertThat(changed.at("/template/imports").isMissingNode()).isTrue();
      assertThat(got.at("/template")).isEqualTo(changed.at("/template"));
      assertThat(deleted.status()).isEqualTo(204);
      assertThat(http.get("/v1/templates/mine").status()).isEqualTo(404);
    }
  }

  @Test
  void theSameByTheJavaClient() throws Exception {
    try (SandkeeperClient client =
        SandkeeperClient.builder("127.0.0.1:" + server.port())
            .apiKey(server.admin().secret())
            .plaintext()
            .build()) {
      Template created =
          client.createTemplate("mine", Template.newBuilder().setRuntime("runc").build());
      Template changed =
          client.updateTemplate(
              UpdateTemplateRequest.newBuilder()
                  .setName("mine")
                  .setTemplate(Template.newBuilder().setDescription("mine"))
                  .build());

      assertThat(created.getRuntime()).isEqualTo("runc");
      assertThat(client.getTemplate("mine")).isEqualTo(changed);
      client.deleteTemplate("mine");
      assertThat(client.listTemplates())
          .extracting(Template::getName)
          .containsExactly("base", "high-memory");
    }
  }

  private Template create(String name, UnaryOperator<Template.Builder> template) {
    return admin
        .templates()
        .createTemplate(
            CreateTemplateRequest.newBuilder()
                .setName(name)
                .setTemplate(template.apply(Template.newBuilder()))
                .build())
        .getTemplate();
  }

  private Template get(String name) {
    return admin
        .templates()
        .getTemplate(GetTemplateRequest.newBuilder().setName(name).build())
        .getTemplate();
  }

  private Template update(String name, UnaryOperator<Template.Builder> template, String... mask) {
    UpdateTemplateRequest.Builder request =
        UpdateTemplateRequest.newBuilder()
            .setName(name)
            .setTemplate(template.apply(Template.newBuilder()));
    if (mask.length > 0) {
      request.setUpdateMask(FieldMask.newBuilder().addAllPaths(List.of(mask)));
    }
    return admin.templates().updateTemplate(request.build()).getTemplate();
  }

  private void delete(String name) {
    var _ =
        admin.templates().deleteTemplate(DeleteTemplateRequest.newBuilder().setName(name).build());
  }

  private static Resources resources(int cpuCores, int memoryMib) {
    return Resources.newBuilder().setCpuCores(cpuCores).setMemoryMib(memoryMib).build();
  }

  private static Duration seconds(int seconds) {
    return Duration.newBuilder().setSeconds(seconds).build();
  }
}
