package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.sandbox.TemplateRepository;
import dev.sandkeeper.v1.ListTemplatesRequest;
import dev.sandkeeper.v1.ListTemplatesResponse;
import dev.sandkeeper.v1.TemplateServiceGrpc;
import io.grpc.stub.StreamObserver;

/** TemplateService. */
final class TemplateApi extends TemplateServiceGrpc.TemplateServiceImplBase {
  private final Calls calls;
  private final TemplateRepository templates;

  TemplateApi(Calls calls, TemplateRepository templates) {
    this.calls = calls;
    this.templates = templates;
  }

  @Override
  public void listTemplates(
      ListTemplatesRequest request, StreamObserver<ListTemplatesResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            ListTemplatesResponse.newBuilder()
                .addAllTemplates(templates.list().stream().map(SandboxMapper::toProto).toList())
                .build());
  }
}
