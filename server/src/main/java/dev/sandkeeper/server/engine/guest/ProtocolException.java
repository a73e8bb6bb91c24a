package dev.sandkeeper.server.engine.guest;

import java.io.IOException;

/** The other end did not keep to the protocol; the connection is of no use any more. */
final class ProtocolException extends IOException {

  private static final long serialVersionUID = 1L;

  ProtocolException(String detail) {
    super("unexpected from the agent: " + detail);
  }
}
