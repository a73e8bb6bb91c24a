package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.FieldMask;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.CreateTemplateRequest;
import dev.sandkeeper.v1.GetTemplateRequest;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.NetworkPolicy;
import dev.sandkeeper.v1.NetworkRule;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.Template;
import dev.sandkeeper.v1.UpdateTemplateRequest;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Network policies as operators and callers give them, and what a sandbox finds of them. */
class NetworkServiceTest {
  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_EGRESS_AUDIT_INTERVAL", "100 ms"));

  private final Caller admin = server.admin();

  private static NetworkPolicy policy(String... hosts) {
    NetworkPolicy.Builder policy = NetworkPolicy.newBuilder();
    for (String host : hosts) {
      policy.addRules(NetworkRule.newBuilder().setHost(host));
    }
    return policy.build();
  }

  /** As a policy is returned in which nothing is left to the default. */
  private static NetworkPolicy full(String... hosts) {
    NetworkPolicy.Builder policy =
        NetworkPolicy.newBuilder().setMaxBytes(1 << 30).setMaxConnections(64);
    for (String host : hosts) {
      policy.addRules(NetworkRule.newBuilder().setHost(host).addPorts(443));
    }
    return policy.build();
  }

  private Template create(String name, Template.Builder template) {
    return admin
        .templates()
        .createTemplate(
            CreateTemplateRequest.newBuilder().setName(name).setTemplate(template).build())
        .getTemplate();
  }

  private List<String> connections(String sandboxId) {
    return admin
        .audit()
        .listAuditEvents(
            ListAuditEventsRequest.newBuilder().setSandboxId(sandboxId).setPageSize(100).build())
        .getAuditEventsList()
        .stream()
        .filter(event -> event.getOperation().equals("connect"))
        .map(NetworkServiceTest::shown)
        .toList();
  }

  private static String shown(AuditEvent event) {
    return event.getOutcome() + " " + event.getDetail();
  }

  @Test
  void byDefaultThereIsNoWayOutAndNoneCanBeAskedFor() {
    assertThat(admin.create().hasNetwork()).isFalse();
    assertThat(
            Refusal.ofField(
                "network",
                () -> admin.create(request -> request.setNetwork(policy("example.com")))))
        .isEqualTo("example.com port 443 (expected: within max_network of the template base)");
    assertThat(
            Refusal.ofField(
                "network",
                () ->
                    admin.runOnce(
                        RunOnceRequest.newBuilder()
                            .setCommand(Command.newBuilder().setShell("true"))
                            .setNetwork(policy("example.com"))
                            .build())))
        .startsWith("example.com port 443");
  }

  @Test
  void aSandboxGetsWhatItsTemplateGivesOrWhatItAsksForWithin() {
    Template template =
        create(
            "open",
            Template.newBuilder()
                .setNetwork(policy("API.example.com."))
                .setMaxNetwork(policy("*.example.com", "bücher.example")));

    assertThat(template.getNetwork()).isEqualTo(full("api.example.com"));
    assertThat(template.getMaxNetwork()).isEqualTo(full("*.example.com", "xn--bcher-kva.example"));
    assertThat(
            admin
                .templates()
                .getTemplate(GetTemplateRequest.newBuilder().setName("open").build())
                .getTemplate())
        .isEqualTo(template);

    Sandbox usual = admin.create(request -> request.setTemplate("open"));
    assertThat(usual.getNetwork()).isEqualTo(full("api.example.com"));
    assertThat(admin.get(usual.getSandboxId()).getNetwork()).isEqualTo(usual.getNetwork());

    NetworkPolicy asked =
        full("www.example.com").toBuilder().setMaxBytes(1000).setMaxConnections(2).build();
    Sandbox other = admin.create(request -> request.setTemplate("open").setNetwork(asked));
    assertThat(other.getNetwork()).isEqualTo(asked);

    Sandbox closed =
        admin.create(
            request -> request.setTemplate("open").setNetwork(NetworkPolicy.getDefaultInstance()));
    assertThat(closed.hasNetwork()).isFalse();

    assertThat(
            Refusal.ofField(
                "network",
                () ->
                    admin.create(request ->
                        request
                            .setTemplate("open")
                            .setNetwork(asked.toBuilder().setMaxBytes(1L << 31)))))
        .startsWith("max_bytes 2147483648, more than 1073741824");
  }

  @Test
  void aTemplatesOwnPolicyIsWithinItsMost() {
    assertThat(
            create("same", Template.newBuilder().setNetwork(policy("a.example"))).getMaxNetwork())
        .isEqualTo(full("a.example"));
    UpdateTemplateRequest change =
        UpdateTemplateRequest.newBuilder()
            .setName("same")
            .setTemplate(Template.newBuilder().setNetwork(policy("b.example")))
            .build();
    assertThat(Refusal.ofField("template.network", () -> admin.templates().updateTemplate(change)))
        .startsWith("b.example port 443");
    UpdateTemplateRequest none =
        change.toBuilder()
            .clearTemplate()
            .setTemplate(Template.getDefaultInstance())
            .setUpdateMask(FieldMask.newBuilder().addPaths("network").addPaths("max_network"))
            .build();
    Template closed = admin.templates().updateTemplate(none).getTemplate();
    assertThat(closed.hasNetwork() || closed.hasMaxNetwork()).isFalse();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.1",
        "0x7f.1",
        "[::1]",
        "localhost",
        "*",
        "*.com",
        "a.*.example",
        "a b.example",
        "http://a.example",
        "a.example:443",
        "straße.example"
      })
  void aRuleIsAboutAHostsFullName(String host) {
    assertThat(
            Refusal.ofField(
                "network.rules[1].host",
                () -> admin.create(request -> request.setNetwork(policy("a.example", host)))))
        .contains("expected");
  }

  @Test
  void whatASandboxTriesIsAnsweredAndRecordedAlsoAfterARestart() throws Exception {
    var _ = create("tried", Template.newBuilder().setNetwork(policy("*.example.com")));
    Sandbox sandbox =
        admin.create(request ->
            request
                .setTemplate("tried")
                .setTimeout(com.google.protobuf.Duration.newBuilder().setSeconds(300)));
    String id = sandbox.getSandboxId();

    assertThat(Caller.stdout(admin.shell(id, "curl -s -w '%{http_code}' http://bad.example.net/")))
        .startsWith("HOST_NOT_ALLOWED: ")
        .endsWith("403");
    assertThat(Caller.stdout(admin.shell(id, "curl -s -w '%{http_code}' http://169.254.169.254/")))
        .startsWith("ADDRESS_REFUSED: ")
        .endsWith("403");
    await()
        .untilAsserted(() ->
            assertThat(connections(id))
                .containsExactlyInAnyOrder(
                    "HOST_NOT_ALLOWED bad.example.net:80 connections=1 sent=0 received=0",
                    "ADDRESS_REFUSED 169.254.169.254 connections=1 sent=0 received=0"));
    assertThat(server.metric("sandkeeper_egress_connection_active")).isZero();

    server.restart();
    Caller again = server.admin();
    assertThat(Caller.stdout(again.shell(id, "curl -s http://bad.example.net/")))
        .startsWith("HOST_NOT_ALLOWED: ");
  }
}
