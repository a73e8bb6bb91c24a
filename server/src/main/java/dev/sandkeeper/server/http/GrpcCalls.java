package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.ExchangeType;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.server.HttpServiceWithRoutes;
import com.linecorp.armeria.server.Route;
import com.linecorp.armeria.server.RoutingContext;
import com.linecorp.armeria.server.ServiceRequestContext;
import com.linecorp.armeria.server.SimpleDecoratingHttpService;
import com.linecorp.armeria.server.grpc.GrpcService;
import io.grpc.ServerMethodDefinition;
import java.util.Map;
import java.util.Set;

/** The calls as gRPC and gRPC-Web; those as JSON are {@link JsonCalls}. */
final class GrpcCalls extends SimpleDecoratingHttpService implements HttpServiceWithRoutes {
  private final Map<Route, ServerMethodDefinition<?, ?>> methods;

  GrpcCalls(GrpcService grpc) {
    super(grpc);
    this.methods = Map.copyOf(grpc.methodsByRoute());
  }

  @Override
  public Set<Route> routes() {
    return methods.keySet();
  }

  /** Every request is shown as it arrives; otherwise nobody could end one that never ends. */
  @Override
  public ExchangeType exchangeType(RoutingContext context) {
    return ((GrpcService) unwrap()).exchangeType(context).isResponseStreaming()
        ? ExchangeType.BIDI_STREAMING
        : ExchangeType.REQUEST_STREAMING;
  }

  /** A stream of messages has no bound but each message's own, and that of what they make up. */
  @Override
  public HttpResponse serve(ServiceRequestContext context, HttpRequest request) throws Exception {
    GrpcHeaders.checkTimeout(request.headers());
    ServerMethodDefinition<?, ?> method = methods.get(context.config().mappedRoute());
    if (method != null && !method.getMethodDescriptor().getType().clientSendsOneMessage()) {
      context.setMaxRequestLength(0);
    }
    return ((GrpcService) unwrap()).serve(context, request);
  }
}
