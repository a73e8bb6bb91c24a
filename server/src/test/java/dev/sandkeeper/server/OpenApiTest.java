package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.google.api.AnnotationsProto;
import com.google.api.HttpRule;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorSet;
import com.google.protobuf.DescriptorProtos.MethodDescriptorProto;
import com.google.protobuf.DescriptorProtos.ServiceDescriptorProto;
import com.google.protobuf.ExtensionRegistry;
import dev.sandkeeper.server.HttpCaller.Answer;
import io.swagger.v3.oas.models.OpenAPI;
import io.swagger.v3.oas.models.Operation;
import io.swagger.v3.oas.models.PathItem;
import io.swagger.v3.parser.OpenAPIV3Parser;
import io.swagger.v3.parser.core.models.ParseOptions;
import io.swagger.v3.parser.core.models.SwaggerParseResult;
import java.io.InputStream;
import java.net.http.HttpRequest.BodyPublishers;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** The OpenAPI document is one, has everything the contract binds to HTTP, and is true. */
class OpenApiTest {
  @RegisterExtension static final RunningServer server = new RunningServer();

  private final HttpCaller caller = new HttpCaller(server);

  @AfterEach
  void closeCaller() {
    caller.close();
  }

  @Test
  void anybodyMayReadIt() {
    Answer answer = document();

    assertThat(answer.status()).isEqualTo(200);
    assertThat(answer.header("content-type")).isEqualTo("application/json; charset=utf-8");
    assertThat(answer.at("/openapi").asText()).isEqualTo("3.1.0");
  }

  @Test
  void aParserFindsNothingWrongInIt() {
    ParseOptions options = new ParseOptions();
    options.setResolve(true);

    SwaggerParseResult result =
        new OpenAPIV3Parser().readContents(document().text(), List.of(), options);

    assertThat(result.getMessages()).isNullOrEmpty();
    assertThat(result.getOpenAPI().getComponents().getSchemas())
        .containsKeys("CreateSandboxRequest", "ExecutionEvent", "Status");
  }

  @Test
  void everyReferenceLeadsSomewhere() {
    JsonNode document = document().json();

    List<String> references = document.findValuesAsText("$ref");

    assertThat(references).hasSizeGreaterThan(100);
    assertThat(references)
        .allSatisfy(reference ->
            assertThat(document.at(reference.substring(1)).isMissingNode())
                .as(reference)
                .isFalse());
  }

  @Test
  void everyBindingOfTheContractIsInIt() throws Exception {
    OpenAPI document = parsed();

    List<HttpRule> rules = new ArrayList<>();
    for (MethodDescriptorProto method : methods()) {
      HttpRule rule = method.getOptions().getExtension(AnnotationsProto.http);
      Operation operation =
          switch (rule.getPatternCase()) {
            case GET -> at(document, rule.getGet()).getGet();
            case POST -> at(document, rule.getPost()).getPost();
            case DELETE -> at(document, rule.getDelete()).getDelete();
            case PATTERN_NOT_SET -> null;
            default -> throw new AssertionError(rule);
          };
      if (operation != null) {
        assertThat(operation.getOperationId()).isEqualTo(method.getName());
        rules.add(rule);
      }
    }

    assertThat(rules).hasSizeGreaterThan(20);
  }

  @Test
  void everyOperationIsThereAndDescribed() {
    List<String> ids = new ArrayList<>();
    parsed()
        .getPaths()
        .forEach((path, item) ->
            item.readOperationsMap()
                .forEach((method, operation) -> {
                  ids.add(operation.getOperationId());
                  assertThat(operation.getDescription()).as(path).isNotBlank();
                  assertThat(operation.getResponses()).as(path).containsKeys("400", "401");
                  if (operation.getParameters() != null) {
                    operation
                        .getParameters()
                        .forEach(parameter ->
                            assertThat(parameter.getDescription())
                                .as(parameter.getName())
                                .isNotBlank());
                  }
                  for (String root : new String[] {"", "/api"}) {
                    // Whoever has no key is told so by what is there, and by nothing else.
                    assertThat(call(method, root + path)).as("%s %s", method, path).isEqualTo(401);
                  }
                }));

    assertThat(ids).doesNotHaveDuplicates();
    assertThat(ids).contains("Execute", "AttachExecution", "WriteFile", "ReadFile");
  }

  @Test
  void fieldsHaveTheirCommentsAndRules() {
    JsonNode schemas = document().at("/components/schemas");

    JsonNode create = schemas.at("/CreateSandboxRequest/properties");
    assertThat(create.at("/requestId/format").asText()).isEqualTo("uuid");
    assertThat(create.at("/template/maxLength").asInt()).isEqualTo(63);
    assertThat(create.at("/timeout/pattern").asText()).isNotEmpty();
    assertThat(create.at("/timeout/description").asText()).contains("1 second to 24 hours");
    assertThat(create.at("/metadata/maxProperties").asInt()).isEqualTo(64);
    assertThat(schemas.at("/ExecutionEvent/description").asText())
        .startsWith("One event of an execution")
        .contains("At most one of: started, stdout");
    assertThat(schemas.at("/Finished/properties/costNanoUsd/type").asText()).isEqualTo("string");
    assertThat(schemas.at("/SandboxState/enum").toString()).contains("SANDBOX_STATE_RUNNING");
    assertThat(schemas.at("/SandboxState/description").asText()).contains("- `SANDBOX_STATE_");
  }

  private static PathItem at(OpenAPI document, String path) {
    return Objects.requireNonNull(document.getPaths().get(path), path);
  }

  private Answer document() {
    return caller.send(caller.anonymous("/openapi.json").GET());
  }

  private OpenAPI parsed() {
    return new OpenAPIV3Parser()
        .readContents(document().text(), List.of(), new ParseOptions())
        .getOpenAPI();
  }

  private int call(PathItem.HttpMethod method, String path) {
    String filled = path.replaceAll("\\{[a-z]+_id}", "a".repeat(20)).replaceAll("\\{[a-z_]+}", "x");
    boolean hasBody = method == PathItem.HttpMethod.POST || method == PathItem.HttpMethod.PUT;
    return caller
        .send(
            caller
                .anonymous(filled, "content-type", "application/json")
                .method(
                    method.name(),
                    hasBody ? BodyPublishers.ofString("{}") : BodyPublishers.noBody()))
        .status();
  }

  private static List<MethodDescriptorProto> methods() throws Exception {
    ExtensionRegistry extensions = ExtensionRegistry.newInstance();
    extensions.add(AnnotationsProto.http);
    try (InputStream in =
        Objects.requireNonNull(
            OpenApiTest.class.getResourceAsStream("/META-INF/armeria/grpc/sandkeeper.dsc"))) {
      return FileDescriptorSet.parseFrom(in, extensions).getFileList().stream()
          .map(FileDescriptorProto::getServiceList)
          .flatMap(List::stream)
          .map(ServiceDescriptorProto::getMethodList)
          .flatMap(List::stream)
          .toList();
    }
  }
}
