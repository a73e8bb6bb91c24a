package dev.sandkeeper.server.http;

import com.google.api.AnnotationsProto;
import com.google.api.HttpRule;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.Descriptors.ServiceDescriptor;
import com.linecorp.armeria.common.HttpMethod;
import com.linecorp.armeria.common.HttpStatus;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Where HTTP finds a unary call of the contract, as its option google.api.http says.
 *
 * @param method the call
 * @param httpMethod the method of HTTP
 * @param template the path, with {@code {field}} for what is a field of the request
 * @param hasBody whether the other fields are the body; otherwise they are query parameters
 */
record Binding(MethodDescriptor method, HttpMethod httpMethod, String template, boolean hasBody) {
  /** Returns the bindings of a service's calls, in the order of the contract. */
  static Stream<Binding> of(ServiceDescriptor service) {
    return service.getMethods().stream().flatMap(method -> of(method).stream());
  }

  private static Optional<Binding> of(MethodDescriptor method) {
    HttpRule rule = method.getOptions().getExtension(AnnotationsProto.http);
    boolean hasBody = rule.getBody().equals("*");
    return switch (rule.getPatternCase()) {
      case GET -> Optional.of(new Binding(method, HttpMethod.GET, rule.getGet(), hasBody));
      case POST -> Optional.of(new Binding(method, HttpMethod.POST, rule.getPost(), hasBody));
      case DELETE -> Optional.of(new Binding(method, HttpMethod.DELETE, rule.getDelete(), hasBody));
      case PATTERN_NOT_SET -> Optional.empty();
      default ->
          throw new IllegalStateException("binding of " + method.getFullName() + ": " + rule);
    };
  }

  /** Returns where it is found. */
  Endpoint endpoint() {
    return Endpoint.of(httpMethod, template);
  }

  /** Returns the names of the fields in the path. */
  List<String> pathFields() {
    return Endpoint.variables(template);
  }

  /** Returns the fields that may be query parameters. */
  List<FieldDescriptor> queryFields() {
    return hasBody
        ? List.of()
        : method.getInputType().getFields().stream()
            .filter(field -> !pathFields().contains(field.getName()))
            .toList();
  }

  /** Returns how success is answered: what creates is 201, what deletes has nothing to say. */
  HttpStatus success() {
    if (httpMethod == HttpMethod.DELETE) {
      return HttpStatus.NO_CONTENT;
    }
    return method.getName().startsWith("Create") ? HttpStatus.CREATED : HttpStatus.OK;
  }
}
