package dev.sandkeeper.server.egress;

import dev.sandkeeper.server.net.HostLookup;
import dev.sandkeeper.server.net.HostName;
import dev.sandkeeper.server.net.Reach;
import java.net.InetAddress;
import java.net.NetworkInterface;
import java.net.SocketException;
import java.net.UnknownHostException;
import java.util.List;
import java.util.function.Predicate;

/**
 * Finds where a name leads. What is connected to must be one of the addresses that are returned:
 * another look-up could find others.
 */
public final class Destinations {
  private final HostLookup lookup;
  private final Predicate<InetAddress> allowed;

  /**
   * Looks up by the given.
   *
   * @param allowed which addresses may be connected to
   */
  public Destinations(HostLookup lookup, Predicate<InetAddress> allowed) {
    this.lookup = lookup;
    this.allowed = allowed;
  }

  /** Allows what anybody may reach, but for this machine's own addresses. */
  public static Destinations ofPublic(HostLookup lookup) {
    return new Destinations(
        lookup, address -> Reach.of(address) == Reach.PUBLIC && !isOfThisMachine(address));
  }

  /**
   * Returns the addresses of a host, at least one. A host that has one that is not allowed is
   * refused as a whole: its others would only hide it.
   *
   * @throws RefusedException {@link Verdict#NAME_NOT_FOUND} or {@link Verdict#PRIVATE_ADDRESS}
   */
  public List<InetAddress> find(HostName host) throws RefusedException {
    List<InetAddress> addresses;
    try {
      // The full stop keeps the resolver from trying this machine's own domains behind the name.
      addresses = lookup.addresses(host.value() + ".");
    } catch (UnknownHostException _) {
      throw new RefusedException(Verdict.NAME_NOT_FOUND);
    }
    if (!addresses.stream().allMatch(allowed)) {
      throw new RefusedException(Verdict.PRIVATE_ADDRESS);
    }
    return addresses;
  }

  /** Says whether an address leads back to here; when that cannot be found out, it counts so. */
  private static boolean isOfThisMachine(InetAddress address) {
    try {
      return NetworkInterface.getByInetAddress(address) != null;
    } catch (SocketException _) {
      return true;
    }
  }
}
