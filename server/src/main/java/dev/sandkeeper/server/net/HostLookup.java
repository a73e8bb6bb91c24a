package dev.sandkeeper.server.net;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.List;

/** Finds the addresses of a host name. */
@FunctionalInterface
public interface HostLookup {
  /**
   * Returns all addresses, at least one.
   *
   * @throws UnknownHostException when there is none, or none that can be found out in time
   */
  List<InetAddress> addresses(String host) throws UnknownHostException;
}
