package dev.sandkeeper.server.api;

import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.server.DecoratingHttpServiceFunction;
import com.linecorp.armeria.server.HttpService;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.base.Scope;
import java.util.concurrent.CompletableFuture;

/** Lets only keys of the scope admin through to what is no call of the contract. */
final class AdminOnly implements DecoratingHttpServiceFunction {
  private final Calls calls;

  AdminOnly(Calls calls) {
    this.calls = calls;
  }

  @Override
  public HttpResponse serve(
      HttpService delegate, ServiceRequestContext context, HttpRequest request) {
    return HttpResponse.of(
        CompletableFuture.supplyAsync(
            () -> {
              calls.begin(context, Scope.ADMIN);
              return serveNow(delegate, context, request);
            },
            context.blockingTaskExecutor()));
  }

  private static HttpResponse serveNow(
      HttpService delegate, ServiceRequestContext context, HttpRequest request) {
    try {
      return delegate.serve(context, request);
    } catch (Exception e) {
      return HttpResponse.ofFailure(e);
    }
  }
}
