package dev.sandkeeper.server.http;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.api.FieldBehavior;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import com.linecorp.armeria.common.HttpStatus;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FileServiceProto;
import dev.sandkeeper.v1.SandboxServiceProto;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * Describes the HTTP face as an OpenAPI 3.1 document, from the contract's descriptors and comments,
 * so that it cannot say anything else than the contract.
 */
final class OpenApi {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;
  private static final ServiceDescriptor SANDBOX_SERVICE =
      SandboxServiceProto.getDescriptor().findServiceByName("SandboxService");
  private static final ServiceDescriptor FILE_SERVICE =
      FileServiceProto.getDescriptor().findServiceByName("FileService");
  private static final String EVENT_STREAM = "text/event-stream";
  private static final String BYTES = "application/octet-stream";
  private static final String JSON_TYPE = "application/json";

  /** What an error's comment names, and the status that it has. */
  private static final Map<String, HttpStatus> STATUS_BY_CODE =
      Map.of(
          "NOT_FOUND", HttpStatus.NOT_FOUND,
          "ALREADY_EXISTS", HttpStatus.CONFLICT,
          "ABORTED", HttpStatus.CONFLICT,
          "RESOURCE_EXHAUSTED", HttpStatus.TOO_MANY_REQUESTS);

  /** What every error status says. */
  private static final Map<HttpStatus, String> ERRORS =
      new TreeMap<>(
          Map.of(
              HttpStatus.BAD_REQUEST,
              "The request is wrong, or not possible in the present state; the details say why.",
              HttpStatus.UNAUTHORIZED,
              "No API key came, or none that is known, unexpired and unrevoked.",
              HttpStatus.FORBIDDEN,
              "The key lacks the scope.",
              HttpStatus.NOT_FOUND,
              "There is no such thing that the key can reach.",
              HttpStatus.CONFLICT,
              "It exists with other content, or another call changed it first.",
              HttpStatus.REQUEST_ENTITY_TOO_LARGE,
              "More bytes than is allowed; the details say how many are.",
              HttpStatus.UNSUPPORTED_MEDIA_TYPE,
              "The body does not say that it is JSON.",
              HttpStatus.TOO_MANY_REQUESTS,
              "A budget has not enough left, or too much goes on at once; the details say which.",
              HttpStatus.INTERNAL_SERVER_ERROR,
              "A bug; the log of the server has the rest under the request id.",
              HttpStatus.SERVICE_UNAVAILABLE,
              "The engine or the database is away, or the server stops."));

  private final Comments comments = Comments.read();
  private final OpenApiSchemas schemas = new OpenApiSchemas(comments);
  private final ObjectNode paths = JSON.objectNode();

  private OpenApi() {}

  /** Returns the document of these bindings and of what is no unary call. */
  static String document(List<Binding> bindings) {
    OpenApi api = new OpenApi();
    bindings.forEach(api::add);
    api.addExecute();
    api.addAttach();
    api.addFiles();
    return api.document().toString();
  }

  private ObjectNode document() {
    ObjectNode document = JSON.objectNode().put("openapi", "3.1.0");
    document
        .putObject("info")
        .put("title", "Sandkeeper")
        .put("version", "v1")
        .put(
            "description",
            "Runs the code that AI agents write, in isolated sandboxes, and keeps the books on it."
                + " The same contract as gRPC, sandkeeper.v1.")
        .putObject("license")
        .put("name", "Apache License 2.0")
        .put("identifier", "Apache-2.0");
    ArrayNode servers = document.putArray("servers");
    servers.addObject().put("url", "/");
    servers.addObject().put("url", "/api").put("description", "The same under another path.");
    document.putArray("security").addObject().putArray("apiKey");
    document.set("paths", paths);
    ObjectNode components = document.putObject("components");
    components
        .putObject("securitySchemes")
        .putObject("apiKey")
        .put("type", "http")
        .put("scheme", "bearer")
        .put("description", "An API key: authorization: Bearer KEY.");
    schemas.all().put("Status", status());
    schemas.all().forEach(components.putObject("schemas")::set);
    ObjectNode responses = components.putObject("responses");
    ERRORS.forEach(
        (status, description) -> responses.set(name(status), error(status, description)));
    return document;
  }

  private static ObjectNode error(HttpStatus status, String description) {
    ObjectNode response = JSON.objectNode().put("description", description);
    if (status.equals(HttpStatus.TOO_MANY_REQUESTS)
        || status.equals(HttpStatus.SERVICE_UNAVAILABLE)) {
      response
          .putObject("headers")
          .putObject("Retry-After")
          .put("description", "After how many seconds to try again; only where waiting helps.")
          .putObject("schema")
          .put("type", "integer");
    }
    return content(
        response, JSON_TYPE, JSON.objectNode().put("$ref", "#/components/schemas/Status"));
  }

  /** Returns google.rpc.Status, whose details a schema of messages cannot show. */
  private static ObjectNode status() {
    ObjectNode schema =
        JSON.objectNode().put("type", "object").put("description", "A google.rpc.Status.");
    ObjectNode properties = schema.putObject("properties");
    properties
        .putObject("code")
        .put("type", "integer")
        .put("description", "The google.rpc.Code, such as 5 for NOT_FOUND.");
    properties
        .putObject("message")
        .put("type", "string")
        .put("description", "One line that says what to do.");
    ObjectNode detail =
        properties
            .putObject("details")
            .put("type", "array")
            .put(
                "description",
                "google.rpc.ErrorInfo always, whose reason says what is wrong and whose metadata has"
                    + " the figures; others where they help.")
            .putObject("items")
            .put("type", "object")
            .put("additionalProperties", true);
    detail.putObject("properties").putObject("@type").put("type", "string");
    detail.putArray("required").add("@type");
    schema.putArray("required").add("code").add("message").add("details");
    return schema;
  }

  private void add(Binding binding) {
    MethodDescriptor method = binding.method();
    ObjectNode operation =
        operation(binding.template(), binding.httpMethod().name(), method.getName(), method);
    pathParameters(operation, method.getInputType(), binding.pathFields());
    for (FieldDescriptor field : binding.queryFields()) {
      parameter(operation, "query", field.getName(), schemas.field(field))
          .put("required", OpenApiSchemas.has(field, FieldBehavior.REQUIRED));
    }
    if (binding.hasBody()) {
      body(operation, JSON_TYPE, bodySchema(method.getInputType(), binding.pathFields()));
    }
    ObjectNode success = response(operation, binding.success(), "Done.");
    if (!binding.success().isContentAlwaysEmpty()) {
      content(success, JSON_TYPE, schemas.reference(method.getOutputType()));
    }
    errors(operation, method, binding.hasBody(), !binding.pathFields().isEmpty());
  }

  private void addExecute() {
    MethodDescriptor execute = SANDBOX_SERVICE.findMethodByName("Execute");
    ObjectNode operation = operation(HttpFace.EXECUTE_PATH, "POST", "Execute", execute);
    List<String> pathFields = List.of("sandbox_id");
    pathParameters(operation, ExecuteRequest.getDescriptor(), pathFields);
    body(operation, JSON_TYPE, bodySchema(ExecuteRequest.getDescriptor(), pathFields));
    events(operation);
    errors(operation, execute, true, true);
  }

  private void addAttach() {
    MethodDescriptor attach = SANDBOX_SERVICE.findMethodByName("AttachExecution");
    ObjectNode operation = operation(HttpFace.EVENTS_PATH, "GET", "AttachExecution", attach);
    Descriptor request = AttachExecutionRequest.getDescriptor();
    pathParameters(operation, request, List.of("execution_id"));
    FieldDescriptor after = request.findFieldByName("after_sequence");
    parameter(operation, "query", "after", schemas.field(after));
    parameter(operation, "header", "Last-Event-ID", schemas.field(after))
        .put("description", "What a browser sends by itself when it comes again; wins over after.");
    events(operation);
    response(operation, HttpStatus.NO_CONTENT, "It is over and the caller has had every event.");
    errors(operation, attach, false, true);
  }

  private void addFiles() {
    for (String path : HttpFace.FILE_PATHS) {
      boolean inPath = path.endsWith("}");
      String suffix = inPath ? "" : "ByParameter";
      String template = path.replace("*", "");

      MethodDescriptor write = FILE_SERVICE.findMethodByName("WriteFile");
      ObjectNode put = operation(template, "PUT", "WriteFile" + suffix, write);
      filePath(put, inPath);
      body(put, BYTES, JSON.objectNode());
      content(
          response(put, HttpStatus.CREATED, "The file is new."),
          JSON_TYPE,
          schemas.reference(WriteFileResponse.getDescriptor()));
      content(
          response(put, HttpStatus.OK, "The file took the place of another."),
          JSON_TYPE,
          schemas.reference(WriteFileResponse.getDescriptor()));
      errors(put, write, true, true);

      MethodDescriptor read = FILE_SERVICE.findMethodByName("ReadFile");
      ObjectNode get = operation(template, "GET", "ReadFile" + suffix, read);
      filePath(get, inPath);
      parameter(get, "header", "Range", JSON.objectNode().put("type", "string"))
          .put("description", "One range, such as bytes=0-99 or bytes=-100.");
      content(response(get, HttpStatus.OK, "The whole file."), BYTES, JSON.objectNode());
      content(response(get, HttpStatus.PARTIAL_CONTENT, "The range."), BYTES, JSON.objectNode());
      content(
          response(
              get,
              HttpStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
              "The file has no bytes in that range; Content-Range says how many it has."),
          JSON_TYPE,
          JSON.objectNode().put("$ref", "#/components/schemas/Status"));
      errors(get, read, false, true);
      refer(get, HttpStatus.REQUEST_ENTITY_TOO_LARGE);

      ObjectNode head = operation(template, "HEAD", "HeadFile" + suffix, read);
      filePath(head, inPath);
      response(head, HttpStatus.OK, "There is such a file; Content-Length says its size.");
      for (HttpStatus status :
          List.of(HttpStatus.BAD_REQUEST, HttpStatus.UNAUTHORIZED, HttpStatus.NOT_FOUND)) {
        refer(head, status);
      }
    }
  }

  private void filePath(ObjectNode operation, boolean inPath) {
    Descriptor request = StatRequest.getDescriptor();
    pathParameters(operation, request, List.of("sandbox_id"));
    ObjectNode schema = schemas.field(request.findFieldByName("path"));
    parameter(operation, inPath ? "path" : "query", "path", schema)
        .put("required", true)
        .put(
            "description",
            "The path inside the sandbox, percent-encoded. Relative to /home/user; a path from the root"
                + " begins with a slash of its own, and goes by the parameter where a proxy would"
                + " take it away.");
  }

  private ObjectNode operation(String path, String httpMethod, String id, MethodDescriptor method) {
    String comment = comments.of(method);
    ObjectNode operation =
        paths.withObjectProperty(path).putObject(httpMethod.toLowerCase(Locale.ROOT));
    operation
        .put("operationId", id)
        .put("summary", comment.replaceFirst("(?s)\\.\\s.*", "."))
        .put("description", comment);
    operation.putArray("tags").add(method.getService().getName());
    operation.putArray("parameters");
    operation.putObject("responses");
    return operation;
  }

  private void pathParameters(ObjectNode operation, Descriptor request, List<String> names) {
    for (String name : names) {
      parameter(operation, "path", name, schemas.field(request.findFieldByName(name)))
          .put("required", true);
    }
  }

  private static ObjectNode parameter(
      ObjectNode operation, String in, String name, ObjectNode schema) {
    ObjectNode parameter =
        operation.withArray("parameters").addObject().put("name", name).put("in", in);
    if (schema.has("description")) {
      parameter.set("description", schema.remove("description"));
    }
    parameter.set("schema", schema);
    return parameter;
  }

  private ObjectNode bodySchema(Descriptor request, List<String> pathFields) {
    return pathFields.isEmpty()
        ? schemas.reference(request)
        : schemas.object(request, field -> !pathFields.contains(field.getName()));
  }

  private static void body(ObjectNode operation, String type, ObjectNode schema) {
    content(operation.putObject("requestBody").put("required", true), type, schema);
  }

  private void events(ObjectNode operation) {
    content(
        response(
            operation,
            HttpStatus.OK,
            "Server-sent events. id is the sequence number; event is the kind: started, stdout,"
                + " stderr, result, error, budget_warning, and finished, which is the last; data is"
                + " an ExecutionEvent. A comment shows in silence that the stream is alive. A stream"
                + " that cannot go on ends with the event failure, without an id, whose data is a"
                + " Status."),
        EVENT_STREAM,
        schemas.reference(ExecutionEvent.getDescriptor()));
  }

  private void errors(
      ObjectNode operation, MethodDescriptor method, boolean hasBody, boolean hasPathFields) {
    List.of(
            HttpStatus.BAD_REQUEST,
            HttpStatus.UNAUTHORIZED,
            HttpStatus.FORBIDDEN,
            HttpStatus.INTERNAL_SERVER_ERROR,
            HttpStatus.SERVICE_UNAVAILABLE)
        .forEach(status -> refer(operation, status));
    String comment = comments.of(method);
    STATUS_BY_CODE.forEach((code, status) -> {
      if (comment.contains(code)) {
        refer(operation, status);
      }
    });
    if (hasPathFields) {
      refer(operation, HttpStatus.NOT_FOUND);
    }
    if (hasBody) {
      refer(operation, HttpStatus.REQUEST_ENTITY_TOO_LARGE);
    }
    if (hasBody && operation.at("/requestBody/content").has(JSON_TYPE)) {
      refer(operation, HttpStatus.UNSUPPORTED_MEDIA_TYPE);
    }
  }

  private static void refer(ObjectNode operation, HttpStatus status) {
    operation
        .withObjectProperty("responses")
        .putObject(status.codeAsText())
        .put("$ref", "#/components/responses/" + name(status));
  }

  private static ObjectNode response(ObjectNode operation, HttpStatus status, String description) {
    return operation
        .withObjectProperty("responses")
        .putObject(status.codeAsText())
        .put("description", description);
  }

  private static ObjectNode content(ObjectNode of, String type, ObjectNode schema) {
    of.putObject("content").putObject(type).set("schema", schema);
    return of;
  }

  private static String name(HttpStatus status) {
    return status.reasonPhrase().replaceAll("[^A-Za-z]", "");
  }
}
