package dev.sandkeeper.server.alert;

import java.net.InetAddress;
import java.net.URI;
import java.util.Map;

/** The receivers of alerts, as the sender knows them. */
public interface Receivers {
  /**
   * Posts a body and returns how that came out, within a bounded time. Follows no redirect and no
   * proxy, and does not read the body of the answer.
   *
   * @param uri http or https, with a host
   * @param address where to connect to, whatever the host's name leads to by now
   * @param headers beside those of HTTP itself
   * @param body JSON
   * @throws InterruptedException when the calling thread is interrupted; it may have arrived
   */
  Attempt post(URI uri, InetAddress address, Map<String, String> headers, String body)
      throws InterruptedException;
}
