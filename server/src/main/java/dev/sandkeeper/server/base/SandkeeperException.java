package dev.sandkeeper.server.base;

import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A refusal or a failure that the caller is told about. Knows nothing of gRPC.
 *
 * <p>The message is one constant ASCII line that says what to do; everything that varies is in the
 * context, whose keys are lower camel case.
 */
public final class SandkeeperException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ErrorReason reason;
  private final transient Map<String, String> context;
  private final transient List<FieldViolation> violations;
  private final transient @Nullable Duration retryDelay;

  private SandkeeperException(
      ErrorReason reason,
      String message,
      Map<String, String> context,
      List<FieldViolation> violations,
      @Nullable Duration retryDelay,
      @Nullable Throwable cause) {
    super(message, cause);
    this.reason = reason;
    this.context = Collections.unmodifiableMap(new TreeMap<>(context)); // in one order always
    this.violations = List.copyOf(violations);
    this.retryDelay = retryDelay;
  }

  /** Makes an exception without details. */
  public static SandkeeperException of(ErrorReason reason, String message) {
    return new SandkeeperException(reason, message, Map.of(), List.of(), null, null);
  }

  /** Makes the exception for one wrong field. */
  public static SandkeeperException invalidField(String field, String description) {
    return invalidFields(List.of(new FieldViolation(field, description)));
  }

  /** Makes the exception for wrong fields, of which there is at least one. */
  public static SandkeeperException invalidFields(List<FieldViolation> violations) {
    return new SandkeeperException(
        ErrorReason.INVALID_FIELD,
        "The request has invalid fields; see the violations.",
        Map.of(),
        violations,
        null,
        null);
  }

  /** Returns the same exception with one more entry of context. */
  public SandkeeperException with(String key, Object value) {
    Map<String, String> more = new TreeMap<>(context);
    more.put(key, value.toString());
    return new SandkeeperException(reason, text(), more, violations, retryDelay, getCause());
  }

  /** Returns the same exception with the delay after which a retry may succeed. */
  public SandkeeperException retryAfter(Duration delay) {
    return new SandkeeperException(reason, text(), context, violations, delay, getCause());
  }

  /** Returns the same exception with what caused it, for the log only. */
  public SandkeeperException causedBy(Throwable cause) {
    return new SandkeeperException(reason, text(), context, violations, retryDelay, cause);
  }

  /** Returns the reason. */
  public ErrorReason reason() {
    return reason;
  }

  /** Returns the varying parts of the message; sorted by key, possibly empty. */
  public Map<String, String> context() {
    return context;
  }

  /** Returns the wrong fields; empty unless the reason is {@link ErrorReason#INVALID_FIELD}. */
  public List<FieldViolation> violations() {
    return violations;
  }

  /** Returns after how long a retry may succeed; empty when waiting does not help. */
  public Optional<Duration> retryDelay() {
    return Optional.ofNullable(retryDelay);
  }

  private String text() {
    String message = getMessage();
    return message == null ? reason.name() : message;
  }
}
