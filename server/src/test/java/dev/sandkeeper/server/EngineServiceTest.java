package dev.sandkeeper.server;

import static dev.sandkeeper.server.EngineFixture.added;
import static dev.sandkeeper.server.EngineFixture.engine;
import static dev.sandkeeper.server.EngineFixture.lastEvent;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.server.HttpCaller.Answer;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.server.engine.FakeEngine.Call;
import dev.sandkeeper.server.engine.Requests;
import dev.sandkeeper.v1.BreakerState;
import dev.sandkeeper.v1.CreateSandboxRequest;
import dev.sandkeeper.v1.Engine;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.Template;
import io.grpc.Status;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.function.UnaryOperator;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

// Goal: each sandbox is run by the engine that its template is for, and by the next one when that
// cannot. Method: engines that do as they are told beside the local one.
final class EngineServiceTest {
  private static final FakeEngine spare = new FakeEngine("spare");
  private static final FakeEngine third = new FakeEngine("third");

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_ENGINE_TIERS_GPU", "spare",
              "SANDKEEPER_ENGINE_FALLBACK", "local",
              "SANDKEEPER_ENGINE_GUARD_WINDOW", "1000",
              "SANDKEEPER_ENGINE_GUARD_MINIMUM_CALLS", "1000",
              "SANDKEEPER_ENGINE_GUARD_CHECK_INTERVAL", "100 ms",
              "SANDKEEPER_SANDBOX_SWEEP_INTERVAL", "100 ms"),
          List.of(added(spare), added(third)));

  private final Caller admin = server.admin();

  @BeforeAll
  static void setPrice() {
    server
        .database()
        .ownerContext()
        .execute(
            """
            insert into price_version (
              tier, basis, usd_per_second, usd_per_core_second, usd_per_gib_second,
              paused_usd_per_second, paused_usd_per_core_second, paused_usd_per_gib_second,
              start_time)
            select 'gpu', basis, usd_per_second, usd_per_core_second, usd_per_gib_second,
              paused_usd_per_second, paused_usd_per_core_second, paused_usd_per_gib_second,
              start_time
            from price_version where tier = 'standard'
            """);
  }

  @AfterEach
  void recover() {
    spare.recover();
    third.recover();
    Awaitility.await()
        .untilAsserted(() ->
            assertThat(engine(admin, "spare").getBreakerState())
                .isNotEqualTo(BreakerState.BREAKER_STATE_OPEN));
  }

  @Test
  void theTemplatesEngineRunsItsSandboxes() {
    Sandbox sandbox =
        create(template -> template.setEngine("spare").setEngineTemplate("team/python:v2"));

    assertThat(sandbox.getEngine()).isEqualTo("spare");
    assertThat(sandbox.getRuntime()).isEmpty();
    assertThat(spare.sandboxes().values())
        .singleElement()
        .satisfies(found -> {
          assertThat(found.id().value()).isEqualTo(sandbox.getSandboxId());
          assertThat(found.spec().engineTemplate()).contains("team/python:v2");
        });
    assertThat(admin.terminate(sandbox.getSandboxId()).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(spare.sandboxes()).isEmpty();
  }

  @Test
  void aTemplateThatNamesNoneIsRunByItsTiersEngineOrTheDefaultOne() {
    assertThat(create(template -> template.setTier("gpu")).getEngine()).isEqualTo("spare");
    assertThat(create(template -> template).getEngine()).isEqualTo("local");
    assertThat(create(template -> template.setTier("gpu").setEngine("local")).getEngine())
        .isEqualTo("local");
  }

  @Test
  void anEngineThatTheServerLacksIsRefusedWithThoseThatItHas() {
    Refusal refusal =
        Refusal.of(
            Status.Code.FAILED_PRECONDITION,
            ErrorReason.ENGINE_MISSING,
            () -> create(template -> template.setEngine("nowhere")));

    assertThat(refusal.info().getMetadataMap())
        .containsEntry("engine", "nowhere")
        .containsEntry("engines", "local,spare,third");
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.ENGINE_MISSING,
        () -> create(template -> template.addFallbackEngines("nowhere")));
  }

  @Test
  void aTemplateOfAnEnginesIsForEnginesThatHaveThem() {
    assertThat(
            Refusal.ofField(
                "template.engine_template",
                () -> create(template -> template.setEngine("local").setEngineTemplate("python"))))
        .isEqualTo("python (expected: none, as the engine local has none)");
    assertThat(
            Refusal.ofField(
                "template.engine_template",
                () -> create(template -> template.setTier("gpu").setEngineTemplate("python"))))
        .isEqualTo("python (expected: none, as template.engine is empty)");
  }

  @Test
  void aSandboxThatItsEngineCannotStartGoesToTheNextOne() {
    spare.fail(Call.CREATE, EngineException.Kind.UNAVAILABLE);
    long before = engine(admin, "spare").getFailovers();

    Sandbox sandbox =
        create(template -> template.setEngine("spare").setEngineTemplate("of-spare-alone"));

    assertThat(sandbox.getEngine()).isEqualTo("local");
    assertThat(sandbox.getRuntime()).isEqualTo("runc");
    assertThat(admin.get(sandbox.getSandboxId())).isEqualTo(sandbox);
    assertThat(Caller.stdout(admin.shell(sandbox.getSandboxId(), "echo here"))).isEqualTo("here\n");
    assertThat(spare.calls(Call.DESTROY)).isPositive(); // whatever may have been left
    assertThat(engine(admin, "spare").getFailovers()).isEqualTo(before + 1);
    assertThat(server.metrics())
        .contains(
            "sandkeeper_engine_failover_total{engine=\"spare\",reason=\"unavailable\","
                + "to_engine=\"local\"}");
    admin.terminate(sandbox.getSandboxId());
    assertThat(admin.costRecords(sandbox.getSandboxId())).isNotEmpty();
  }

  @Test
  void theAuditTrailSaysWhichEnginesWereAsked() {
    spare.fail(Call.CREATE, EngineException.Kind.UNAVAILABLE);
    third.fail(Call.CREATE, EngineException.Kind.UNAVAILABLE);
    String name =
        template(template ->
            template.setEngine("spare").addFallbackEngines("third").addFallbackEngines("local"));

    var _ = admin.create(request -> request.setTemplate(name));

    assertThat(lastEvent(admin).getDetail())
        .isEqualTo("template " + name + ", failed over from spare to third to local");
  }

  @Test
  void whatTheEngineBeforeMayHaveStartedIsEndedBeforeTheNextOneIsAsked() {
    spare.loseAnswers();

    Sandbox sandbox = create(template -> template.setEngine("spare"));

    assertThat(sandbox.getEngine()).isEqualTo("local");
    assertThat(spare.sandboxes()).isEmpty();
  }

  @Test
  void whatCannotBeEndedThereIsFoundByTheSweeperWhileTheSandboxRuns() {
    spare.loseAnswers();
    spare.fail(Call.DESTROY, EngineException.Kind.UNAVAILABLE);

    Sandbox sandbox = create(template -> template.setEngine("spare"));

    assertThat(sandbox.getEngine()).isEqualTo("local");
    assertThat(spare.sandboxes()).hasSize(1);
    spare.recover();
    Awaitility.await().until(() -> spare.sandboxes().isEmpty());
    assertThat(admin.get(sandbox.getSandboxId()).getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(Caller.stdout(admin.shell(sandbox.getSandboxId(), "echo here"))).isEqualTo("here\n");
  }

  @Test
  void thatOneSandboxFailsIsNoReasonToAskAnother() {
    spare.fail(Call.CREATE, EngineException.Kind.FAILED);

    Refusal refusal =
        Refusal.of(
            Status.Code.UNAVAILABLE,
            ErrorReason.ENGINE_UNAVAILABLE,
            () -> create(template -> template.setEngine("spare")));

    assertThat(refusal.info().getMetadataOrThrow("engine")).isEqualTo("spare");
  }

  @Test
  void aTemplatesOwnListWinsAndItsEngineAloneIsNone() {
    spare.fail(Call.CREATE, EngineException.Kind.UNAVAILABLE);

    assertThat(
            create(template -> template.setEngine("spare").addFallbackEngines("third")).getEngine())
        .isEqualTo("third");
    Refusal.of(
        Status.Code.UNAVAILABLE,
        ErrorReason.ENGINE_UNAVAILABLE,
        () -> create(template -> template.setEngine("spare").addFallbackEngines("spare")));
  }

  @Test
  void whenNoneCanNothingIsHeldAndTheCallCanBeRepeatedForTheSameAnswer() {
    spare.fail(Call.CREATE, EngineException.Kind.UNAVAILABLE);
    third.fail(Call.CREATE, EngineException.Kind.UNAVAILABLE);
    String name = template(template -> template.setEngine("spare").addFallbackEngines("third"));
    UnaryOperator<CreateSandboxRequest.Builder> request =
        builder -> builder.setTemplate(name).setRequestId(UUID.randomUUID().toString());
    CreateSandboxRequest once = request.apply(CreateSandboxRequest.newBuilder()).build();

    for (int i = 0; i < 2; i++) {
      Refusal refusal =
          Refusal.of(
              Status.Code.UNAVAILABLE,
              ErrorReason.ENGINE_UNAVAILABLE,
              () -> admin.sandboxes().createSandbox(once));
      assertThat(refusal.info().getMetadataOrThrow("engine")).isEqualTo("third");
    }
    assertThat(third.calls(Call.CREATE)).isPositive();
    assertThat(spare.sandboxes()).isEmpty();
  }

  @Test
  void anEngineWhoseCheckFailsIsNotAsked() {
    spare.fail(Call.CHECK, EngineException.Kind.UNAVAILABLE);
    Awaitility.await().until(() -> !engine(admin, "spare").getHealthy());
    int before = spare.calls(Call.CREATE);

    assertThat(create(template -> template.setEngine("spare")).getEngine()).isEqualTo("local");

    assertThat(spare.calls(Call.CREATE)).isEqualTo(before);
    Engine down = engine(admin, "spare");
    assertThat(down.getBreakerState()).isEqualTo(BreakerState.BREAKER_STATE_OPEN);
    assertThat(down.getCheckError()).isEqualTo("CHECK fails, as it is told");
    assertThat(down.hasCheckTime()).isTrue();
    assertThat(down.hasBreakerStateTime()).isTrue();
    spare.recover();
    Awaitility.await()
        .untilAsserted(() -> {
          assertThat(engine(admin, "spare").getHealthy()).isTrue();
          assertThat(engine(admin, "spare").getBreakerState())
              .isEqualTo(BreakerState.BREAKER_STATE_CLOSED); // sweeps decide, too
        });
    assertThat(create(template -> template.setEngine("spare")).getEngine()).isEqualTo("spare");
  }

  @Test
  void anEngineThatCannotSayWhatRunsKeepsNoOtherFromBeingSwept() {
    spare.fail(Call.LIST, EngineException.Kind.UNAVAILABLE);
    var _ = third.create(Requests.spec());

    Awaitility.await().until(() -> third.sandboxes().isEmpty());
    assertThat(spare.calls(Call.LIST)).isPositive();
  }

  @Test
  void operatorsSeeTheEnginesAndNobodyElse() {
    Sandbox sandbox = create(template -> template.setEngine("third"));

    Engine listed = engine(admin, "third");
    assertThat(listed.getIsDefault()).isFalse();
    assertThat(engine(admin, "local").getIsDefault()).isTrue();
    assertThat(listed.getHealthy()).isTrue();
    assertThat(listed.getLiveSandboxes()).isEqualTo(1);
    assertThat(listed.getStartingSandboxes()).isZero();
    assertThat(listed.getCapacity()).isZero();
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () -> engine(server.runner(), "local"));
    try (HttpCaller http = new HttpCaller(server)) {
      Answer answer = http.get("/v1/engines");
      assertThat(answer.status()).isEqualTo(200);
      assertThat(answer.at("/engines/0/name").asText()).isEqualTo("local");
      assertThat(answer.at("/engines/2/liveSandboxes").asInt()).isEqualTo(1);
    }
    admin.terminate(sandbox.getSandboxId());
    assertThat(engine(admin, "third").getLiveSandboxes()).isZero();
  }

  @Test
  void theSameByTheJavaClient() throws Exception {
    try (SandkeeperClient client =
        SandkeeperClient.builder("127.0.0.1:" + server.port())
            .apiKey(admin.secret())
            .plaintext()
            .build()) {
      assertThat(client.listEngines())
          .extracting(Engine::getName)
          .containsExactly("local", "spare", "third");
    }
  }

  @Test
  void metricsShowTheEngines() {
    assertThat(server.metrics())
        .contains("sandkeeper_engine_breaker_state{engine=\"spare\",state=\"closed\"}")
        .contains("sandkeeper_engine_healthy{engine=\"local\"} 1")
        .contains("sandkeeper_engine_starting{engine=\"third\"} 0")
        .contains("sandkeeper_engine_call_total{engine=\"spare\",outcome=\"answered\"}");
  }

  private String template(UnaryOperator<Template.Builder> template) {
    return EngineFixture.template(admin, template);
  }

  private Sandbox create(UnaryOperator<Template.Builder> template) {
    return EngineFixture.create(admin, template);
  }
}
