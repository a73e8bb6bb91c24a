package dev.sandkeeper.server.egress;

/** What became of a connection; the name stands in the audit trail and in the answer. */
public enum Verdict {
  /** It was made. */
  ALLOWED(200, "The connection is made."),
  /** What was sent is no request of HTTP/1.1, or one that could be read in two ways. */
  MALFORMED_REQUEST(400, "Send CONNECT host:port, or a request for an http:// URL."),
  /** The target is an address, in whatever notation. */
  ADDRESS_REFUSED(403, "Addresses are refused; name the host."),
  /** No rule is about that host and port. */
  HOST_NOT_ALLOWED(403, "The sandbox's network policy does not allow this host and port."),
  /** The header Host names another host than the target. */
  HOST_MISMATCH(403, "The header Host must name the host and port of the URL."),
  /** The name leads to this machine, a private network, or what clouds keep credentials at. */
  PRIVATE_ADDRESS(403, "The host has an address that is not public."),
  /** The sandbox has used all its bytes. */
  BYTE_LIMIT(403, "The sandbox has used all bytes of its network policy."),
  /** The sandbox has as many connections as it may have. */
  TOO_MANY_CONNECTIONS(429, "The sandbox has as many connections as it may have; close one."),
  /** The server has as many connections of sandboxes as it may have. */
  SERVER_BUSY(503, "The server has as many connections as it may have; try again."),
  /** The name has no address. */
  NAME_NOT_FOUND(502, "The host's name has no address."),
  /** No address could be connected to. */
  CONNECT_FAILED(502, "The host could not be connected to."),
  /** No address answered in time. */
  CONNECT_TIMEOUT(504, "The host did not answer in time."),
  /** What is sent through a tunnel is not TLS. */
  NOT_TLS(403, "Only TLS may be sent through CONNECT."),
  /** The first message of TLS names no host, or is malformed. */
  NO_SERVER_NAME(403, "TLS must name the host (SNI)."),
  /** The first message of TLS names another host than was asked for. */
  SERVER_NAME_MISMATCH(403, "TLS names another host than CONNECT did."),
  /** The first message of TLS hides which host it is for. */
  ENCRYPTED_CLIENT_HELLO(403, "TLS hides the host (ECH)."),
  /** Nothing was sent for too long. */
  TIMED_OUT(408, "Nothing was sent for too long.");

  private final int status;
  private final String message;

  Verdict(int status, String message) {
    this.status = status;
    this.message = message;
  }

  /** Returns the status of HTTP that says so. */
  public int status() {
    return status;
  }

  /** Returns a sentence for people. */
  public String message() {
    return message;
  }
}
