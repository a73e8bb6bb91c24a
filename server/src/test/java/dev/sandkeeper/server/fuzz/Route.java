package dev.sandkeeper.server.fuzz;

import com.google.api.AnnotationsProto;
import com.google.api.HttpRule;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.RequestHeadersBuilder;
import dev.sandkeeper.server.Contract;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExposePortRequest;
import dev.sandkeeper.v1.ReadFileRequest;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.reflection.v1.ServerReflectionRequest;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Where something answers to HTTP.
 *
 * @param host what the header Host says, with the names of fields in braces; empty for the server
 * @param template a path, with the names of fields in braces
 * @param hasBody whether the other fields are the body, otherwise the query
 * @param input the type of the message
 */
record Route(String method, String host, String template, boolean hasBody, Descriptor input) {
  /** Where ports are hosts. */
  static final String PORT_DOMAIN = "sandboxes.localhost";

  /** The port that a program listens on. */
  static final int PORT = 8080;

  /** Where those of the contract are found a second time. */
  static final String ALIAS = "/api";

  private static final String PORTS = "/v1/sandboxes/{sandbox_id}/ports/";
  private static final String FILES = "/v1/sandboxes/{sandbox_id}/files";
  private static final String FILE = FILES + "/{*path}";

  private Route(String method, String template, boolean hasBody, Descriptor input) {
    this(method, "", template, hasBody, input);
  }

  String name() {
    return method + " " + host + template;
  }

  /** Says whether it is one of a port of a sandbox. */
  boolean isOfPort() {
    return !host.isEmpty() || template.startsWith(PORTS);
  }

  /** Returns the head of a request that leads there, with a path below the given. */
  RequestHeaders example(String root) {
    RequestHeadersBuilder request =
        RequestHeaders.builder(HttpMethod.valueOf(method), root + filled(template));
    if (!host.isEmpty()) {
      request.authority(filled(host));
    }
    return request.build();
  }

  private static String filled(String text) {
    return text.replaceAll("\\{[^}]*}", "x");
  }

  /** Returns every route: those that the contract binds, and the others. */
  static List<Route> all() {
    return Stream.of(
            Contract.methods().stream().flatMap(method -> bound(method).stream()),
            others(),
            ports())
        .flatMap(routes -> routes)
        .toList();
  }

  private static Optional<Route> bound(MethodDescriptor method) {
    HttpRule rule = method.getOptions().getExtension(AnnotationsProto.http);
    boolean hasBody = rule.getBody().equals("*");
    return switch (rule.getPatternCase()) {
      case GET -> Optional.of(new Route("GET", rule.getGet(), hasBody, method.getInputType()));
      case POST -> Optional.of(new Route("POST", rule.getPost(), hasBody, method.getInputType()));
      case DELETE ->
          Optional.of(new Route("DELETE", rule.getDelete(), hasBody, method.getInputType()));
      default -> Optional.empty();
    };
  }

  private static Stream<Route> others() {
    Descriptor read = ReadFileRequest.getDescriptor();
    return Stream.of(
        new Route(
            "POST", "/v1/sandboxes/{sandbox_id}/execute", true, ExecuteRequest.getDescriptor()),
        new Route(
            "GET",
            "/v1/executions/{execution_id}/events",
            false,
            AttachExecutionRequest.getDescriptor()),
        new Route("GET", FILE, false, read),
        new Route("HEAD", FILE, false, read),
        new Route("PUT", FILE, true, read),
        new Route("GET", FILES, false, read),
        new Route("HEAD", FILES, false, read),
        new Route("PUT", FILES, true, read),
        new Route("GET", "/health", false, read),
        new Route("GET", "/metrics", false, read),
        new Route("GET", "/openapi.json", false, read),
        new Route("GET", "/docs/", false, read),
        new Route("POST", "/grpc.health.v1.Health/Check", true, HealthCheckRequest.getDescriptor()),
        new Route("POST", "/grpc.health.v1.Health/Watch", true, HealthCheckRequest.getDescriptor()),
        new Route(
            "POST",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            true,
            ServerReflectionRequest.getDescriptor()));
  }

  private static Stream<Route> ports() {
    Descriptor expose = ExposePortRequest.getDescriptor();
    String listening = PORTS + PORT;
    String host = PORT + "-{sandbox_id}." + PORT_DOMAIN;
    return Stream.of(
        new Route("GET", PORTS + "{port}/{*rest}", false, expose),
        new Route("GET", listening, false, expose),
        new Route("GET", listening + "/", false, expose),
        new Route("GET", listening + "/{*rest}", false, expose),
        new Route("HEAD", listening + "/{*rest}", false, expose),
        new Route("POST", listening + "/{*rest}", true, expose),
        new Route("PUT", listening + "/{*rest}", true, expose),
        new Route("GET", host, "/{*rest}", false, expose),
        new Route("POST", host, "/{*rest}", true, expose));
  }
}
