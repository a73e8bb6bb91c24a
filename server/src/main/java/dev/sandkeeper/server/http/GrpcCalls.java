package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.server.HttpServiceWithRoutes;
import com.linecorp.armeria.server.Route;
import com.linecorp.armeria.server.ServiceRequestContext;
import com.linecorp.armeria.server.SimpleDecoratingHttpService;
import com.linecorp.armeria.server.grpc.GrpcService;
import java.util.Set;

/** The calls as gRPC and gRPC-Web; those as JSON are {@link JsonCalls}. */
final class GrpcCalls extends SimpleDecoratingHttpService implements HttpServiceWithRoutes {
  private final Set<Route> routes;

  GrpcCalls(GrpcService grpc) {
    super(grpc);
    this.routes = Set.copyOf(grpc.methodsByRoute().keySet());
  }

  @Override
  public Set<Route> routes() {
    return routes;
  }

  @Override
  public HttpResponse serve(ServiceRequestContext context, HttpRequest request) throws Exception {
    return ((GrpcService) unwrap()).serve(context, request);
  }
}
