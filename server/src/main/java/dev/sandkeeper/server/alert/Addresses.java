package dev.sandkeeper.server.alert;

import dev.sandkeeper.server.net.HostLookup;
import dev.sandkeeper.server.net.Reach;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.List;
import java.util.Optional;

/** Finds where a URL leads, and refuses what alerts may not be sent to. */
public final class Addresses {
  private final HostLookup lookup;
  private final boolean allowsPrivate;

  /**
   * Looks up by the given.
   *
   * @param allowsPrivate whether addresses of this machine and of private networks will do
   */
  public Addresses(HostLookup lookup, boolean allowsPrivate) {
    this.lookup = lookup;
    this.allowsPrivate = allowsPrivate;
  }

  /**
   * Returns the addresses of a URL's host, at least one. What is connected to must be one of these:
   * another look-up could find others.
   *
   * @throws UnknownHostException when none can be found
   */
  List<InetAddress> find(WebhookUrl url) throws UnknownHostException {
    return url.hasAddress()
        ? List.of(InetAddress.ofLiteral(url.host()))
        : lookup.addresses(url.host());
  }

  /**
   * Returns the first of the addresses that alerts may not be sent to. A host that has one is
   * refused as a whole: its others would only hide it.
   */
  Optional<InetAddress> refused(List<InetAddress> addresses) {
    return addresses.stream().filter(address -> !allows(Reach.of(address))).findFirst();
  }

  private boolean allows(Reach reach) {
    return switch (reach) {
      case PUBLIC -> true;
      case PRIVATE -> allowsPrivate;
      case FORBIDDEN -> false;
    };
  }
}
