package dev.sandkeeper.server.api;

import com.google.protobuf.FieldMask;
import com.google.protobuf.util.FieldMaskUtil;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.sandbox.Template;
import dev.sandkeeper.server.sandbox.Templates;
import dev.sandkeeper.v1.CreateTemplateRequest;
import dev.sandkeeper.v1.CreateTemplateResponse;
import dev.sandkeeper.v1.DeleteTemplateRequest;
import dev.sandkeeper.v1.DeleteTemplateResponse;
import dev.sandkeeper.v1.GetTemplateRequest;
import dev.sandkeeper.v1.GetTemplateResponse;
import dev.sandkeeper.v1.ListTemplatesRequest;
import dev.sandkeeper.v1.ListTemplatesResponse;
import dev.sandkeeper.v1.TemplateServiceGrpc;
import dev.sandkeeper.v1.UpdateTemplateRequest;
import dev.sandkeeper.v1.UpdateTemplateResponse;
import io.grpc.stub.StreamObserver;

/** TemplateService. */
final class TemplateApi extends TemplateServiceGrpc.TemplateServiceImplBase {
  private final Calls calls;
  private final Templates templates;

  TemplateApi(Calls calls, Templates templates) {
    this.calls = calls;
    this.templates = templates;
  }

  @Override
  public void createTemplate(
      CreateTemplateRequest request, StreamObserver<CreateTemplateResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          Template template = TemplateMapper.fromProto(request.getName(), request.getTemplate());
          return CreateTemplateResponse.newBuilder()
              .setTemplate(TemplateMapper.toProto(templates.create(principal, template)))
              .build();
        });
  }

  @Override
  public void getTemplate(
      GetTemplateRequest request, StreamObserver<GetTemplateResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.READ,
        principal ->
            GetTemplateResponse.newBuilder()
                .setTemplate(TemplateMapper.toProto(templates.get(request.getName())))
                .build());
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
                .addAllTemplates(templates.list().stream().map(TemplateMapper::toProto).toList())
                .build());
  }

  @Override
  public void updateTemplate(
      UpdateTemplateRequest request, StreamObserver<UpdateTemplateResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          FieldMask mask = TemplateMapper.changed(request);
          Template changed =
              templates.update(
                  principal,
                  request.getName(),
                  FieldMaskUtil.toString(mask),
                  present -> TemplateMapper.merge(present, mask, request.getTemplate()));
          return UpdateTemplateResponse.newBuilder()
              .setTemplate(TemplateMapper.toProto(changed))
              .build();
        });
  }

  @Override
  public void deleteTemplate(
      DeleteTemplateRequest request, StreamObserver<DeleteTemplateResponse> observer) {
    calls.answer(
        request,
        observer,
        Scope.ADMIN,
        principal -> {
          templates.delete(principal, request.getName());
          return DeleteTemplateResponse.getDefaultInstance();
        });
  }
}
