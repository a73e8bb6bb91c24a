package dev.sandkeeper.server.api;

import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.server.DecoratingHttpServiceFunction;
import com.linecorp.armeria.server.HttpService;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
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
            () -> answer(delegate, context, request), context.blockingTaskExecutor()));
  }

  private HttpResponse answer(
      HttpService delegate, ServiceRequestContext context, HttpRequest request) {
    try {
      calls.authenticate(context).require(Scope.ADMIN);
      return delegate.serve(context, request);
    } catch (SandkeeperException e) {
      HttpStatus status =
          e.reason() == ErrorReason.SCOPE_MISSING ? HttpStatus.FORBIDDEN : HttpStatus.UNAUTHORIZED;
      return HttpResponse.of(status, MediaType.PLAIN_TEXT_UTF_8, String.valueOf(e.getMessage()));
    } catch (Exception e) {
      return HttpResponse.ofFailure(e);
    }
  }
}
