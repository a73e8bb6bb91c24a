package dev.sandkeeper.server.api;

import build.buf.protovalidate.ValidationResult;
import build.buf.protovalidate.Validator;
import build.buf.protovalidate.ValidatorFactory;
import build.buf.protovalidate.exceptions.ValidationException;
import com.google.protobuf.Message;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.access.ApiKeys;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.FieldViolation;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Scope;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.function.Function;

/**
 * What every call goes through before its service sees it: who calls, may they, is it well-formed.
 */
public final class Calls {
  private static final String BEARER = "bearer ";

  private final ApiKeys apiKeys;
  private final Validator validator = ValidatorFactory.newBuilder().build();

  /** Makes the checks. */
  public Calls(ApiKeys apiKeys) {
    this.apiKeys = apiKeys;
  }

  /** Answers a unary call. What is thrown reaches the caller through the {@link ErrorMapper}. */
  <T extends Message, R> void answer(
      T request, StreamObserver<R> observer, Scope scope, Function<Principal, R> work) {
    Principal principal = begin(scope);
    validate(request);
    R response = work.apply(principal);
    observer.onNext(response);
    observer.onCompleted();
  }

  /**
   * Returns who makes the current call.
   *
   * @throws SandkeeperException {@link ErrorReason#INVALID_CREDENTIALS}, {@link
   *     ErrorReason#RATE_LIMITED} or {@link ErrorReason#SCOPE_MISSING}
   */
  Principal begin(Scope scope) {
    return begin(ServiceRequestContext.current(), scope);
  }

  /**
   * Returns who makes the call of the context.
   *
   * @throws SandkeeperException {@link ErrorReason#INVALID_CREDENTIALS}, {@link
   *     ErrorReason#RATE_LIMITED} or {@link ErrorReason#SCOPE_MISSING}
   */
  public Principal begin(ServiceRequestContext context, Scope scope) {
    Principal principal = authenticate(context);
    principal.require(scope);
    return principal;
  }

  private Principal authenticate(ServiceRequestContext context) {
    RequestHeaders headers = context.request().headers();
    String authorization = headers.get(HttpHeaderNames.AUTHORIZATION, "");
    if (!authorization.regionMatches(true, 0, BEARER, 0, BEARER.length())) {
      throw withoutKey(context);
    }
    return authenticate(context, authorization.substring(BEARER.length()).strip());
  }

  /**
   * Returns who makes the call of the context with a key.
   *
   * @param secret the key's
   * @throws SandkeeperException {@link ErrorReason#INVALID_CREDENTIALS} or {@link
   *     ErrorReason#RATE_LIMITED}
   */
  public Principal authenticate(ServiceRequestContext context, String secret) {
    return apiKeys.authenticate(secret, origin(context));
  }

  /**
   * Returns how the call of the context is refused, which brought no key.
   *
   * @throws SandkeeperException {@link ErrorReason#RATE_LIMITED}
   */
  public SandkeeperException withoutKey(ServiceRequestContext context) {
    return apiKeys.withoutKey(origin(context));
  }

  /** Returns where the call of the context came from. */
  public static Principal.Origin origin(ServiceRequestContext context) {
    return new Principal.Origin(
        context.clientAddress().getHostAddress(),
        context.request().headers().get(HttpHeaderNames.USER_AGENT, ""));
  }

  /**
   * Checks a request against the rules of the contract.
   *
   * @throws SandkeeperException {@link ErrorReason#INVALID_FIELD} with every violation
   */
  public void validate(Message request) {
    List<FieldViolation> noTimes = TimeRanges.violations(request);
    if (!noTimes.isEmpty()) {
      throw SandkeeperException.invalidFields(noTimes);
    }
    ValidationResult result;
    try {
      result = validator.validate(request);
    } catch (ValidationException e) {
      throw new IllegalStateException("the contract's rules do not compile", e);
    }
    if (!result.isSuccess()) {
      List<FieldViolation> violations =
          result.getViolations().stream().map(Violations::fieldViolation).toList();
      throw SandkeeperException.invalidFields(violations);
    }
  }
}
