package dev.sandkeeper.server.transport;

import java.io.Serial;

/**
 * The files of the certificate cannot be used. The message names the configuration key, the file
 * and what is wrong with it.
 */
public final class TlsException extends RuntimeException {
  @Serial private static final long serialVersionUID = 1L;

  TlsException(String message) {
    super(message);
  }
}
