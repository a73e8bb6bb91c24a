package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpHeaders;
import com.linecorp.armeria.common.HttpStatus;
import dev.sandkeeper.server.base.SandkeeperException;

/** A refusal that only HTTP knows, such as a range that the file does not have. */
final class HttpFailure extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final transient HttpStatus status;
  private final transient HttpHeaders headers;

  /**
   * Makes a refusal.
   *
   * @param status how it is answered
   * @param message one line that says what to do
   * @param headers what the answer carries besides
   */
  HttpFailure(HttpStatus status, String message, HttpHeaders headers) {
    super(message);
    this.status = status;
    this.headers = headers;
  }

  HttpFailure(HttpStatus status, String message) {
    this(status, message, HttpHeaders.of());
  }

  /** Makes a refusal whose reason the contract has, but that HTTP has a better status for. */
  HttpFailure(HttpStatus status, SandkeeperException cause) {
    super(cause.getMessage(), cause);
    this.status = status;
    this.headers = HttpHeaders.of();
  }

  HttpStatus status() {
    return status;
  }

  HttpHeaders headers() {
    return headers;
  }
}
