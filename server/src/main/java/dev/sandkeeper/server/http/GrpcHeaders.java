package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.RequestHeaders;
import dev.sandkeeper.server.base.SandkeeperException;
import java.util.regex.Pattern;

/** Headers of gRPC, which calls as JSON may carry too, where Armeria would fail over them. */
final class GrpcHeaders {
  private static final String TIMEOUT = "grpc-timeout";
  private static final Pattern TIMEOUT_VALUE = Pattern.compile("[0-9]{1,8}[HMSmun]");
  private static final String ENCODING = "grpc-encoding";

  private GrpcHeaders() {}

  /**
   * Checks the time that a caller gives a call.
   *
   * @throws SandkeeperException when it is none as gRPC defines it
   */
  static void checkTimeout(RequestHeaders headers) {
    String value = headers.get(TIMEOUT);
    if (value != null && !TIMEOUT_VALUE.matcher(value).matches()) {
      throw SandkeeperException.invalidField(
          TIMEOUT, "no timeout (expected: 1 to 8 digits and one of the units H, M, S, m, u, n)");
    }
  }

  /**
   * Checks that JSON does not come compressed in the way of gRPC.
   *
   * @throws HttpFailure when the caller says that it does
   */
  static void checkNoEncoding(RequestHeaders headers) {
    if (!headers.get(ENCODING, "identity").equals("identity")) {
      throw new HttpFailure(
          HttpStatus.UNSUPPORTED_MEDIA_TYPE, "JSON has no grpc-encoding; leave the header away.");
    }
  }
}
