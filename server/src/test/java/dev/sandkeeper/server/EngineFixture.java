package dev.sandkeeper.server;

import dev.sandkeeper.server.engine.FakeEngine;
import dev.sandkeeper.v1.AuditEvent;
import dev.sandkeeper.v1.CreateTemplateRequest;
import dev.sandkeeper.v1.Engine;
import dev.sandkeeper.v1.ListAuditEventsRequest;
import dev.sandkeeper.v1.ListEnginesRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.Template;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;

/** What tests of several engines have in common. */
final class EngineFixture {
  private static final AtomicInteger COUNTER = new AtomicInteger();

  private EngineFixture() {}

  static EngineAssembly.Added added(FakeEngine engine) {
    return new EngineAssembly.Added(engine, OptionalInt.empty());
  }

  static EngineAssembly.Added added(FakeEngine engine, int capacity) {
    return new EngineAssembly.Added(engine, OptionalInt.of(capacity));
  }

  /** Makes a template of a new name, which it returns. */
  static String template(Caller admin, UnaryOperator<Template.Builder> template) {
    String name = "engines-" + COUNTER.incrementAndGet();
    var _ =
        admin
            .templates()
            .createTemplate(
                CreateTemplateRequest.newBuilder()
                    .setName(name)
                    .setTemplate(template.apply(Template.newBuilder()))
                    .build());
    return name;
  }

  /** Creates a sandbox of a template that is as given. */
  static Sandbox create(Caller admin, UnaryOperator<Template.Builder> template) {
    String name = template(admin, template);
    return admin.create(request -> request.setTemplate(name));
  }

  static Engine engine(Caller admin, String name) {
    return admin
        .engines()
        .listEngines(ListEnginesRequest.getDefaultInstance())
        .getEnginesList()
        .stream()
        .filter(engine -> engine.getName().equals(name))
        .findFirst()
        .orElseThrow();
  }

  /** Returns the last event of the tenant's audit trail. */
  static AuditEvent lastEvent(Caller admin) {
    List<AuditEvent> events =
        admin
            .audit()
            .listAuditEvents(ListAuditEventsRequest.newBuilder().setPageSize(1).build())
            .getAuditEventsList();
    return events.getFirst();
  }
}
