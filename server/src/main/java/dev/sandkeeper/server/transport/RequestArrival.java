package dev.sandkeeper.server.transport;

import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.server.DecoratingHttpServiceFunction;
import com.linecorp.armeria.server.HttpService;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/**
 * Ends a call whose request does not arrive whole in time. Nobody is asked for a key before that,
 * so anybody could keep calls open by sending a byte now and then.
 */
final class RequestArrival implements DecoratingHttpServiceFunction {
  private final Duration timeout;
  private final Predicate<RequestHeaders> isUpload;

  /**
   * Makes the rule.
   *
   * @param isUpload says which requests it does not hold for: those that show their key first
   */
  RequestArrival(Duration timeout, Predicate<RequestHeaders> isUpload) {
    this.timeout = timeout;
    this.isUpload = isUpload;
  }

  @Override
  public HttpResponse serve(
      HttpService delegate, ServiceRequestContext context, HttpRequest request) throws Exception {
    if (!request.isComplete() && !isUpload.test(request.headers())) {
      Future<?> tooLate =
          context
              .eventLoop()
              .withoutContext()
              .schedule(() -> end(context, request), timeout.toNanos(), TimeUnit.NANOSECONDS);
      var _ = request.whenComplete().whenComplete((_, _) -> tooLate.cancel(false));
    }
    return delegate.serve(context, request);
  }

  private void end(ServiceRequestContext context, HttpRequest request) {
    if (!context.sessionProtocol().isMultiplex()) {
      var _ =
          context.initiateConnectionShutdown(Duration.ZERO); // what is still to come is of no use
    }
    request.abort(
        SandkeeperException.of(
                ErrorReason.DEADLINE_EXCEEDED, "The request did not arrive whole in time.")
            .with("timeout", timeout));
  }
}
