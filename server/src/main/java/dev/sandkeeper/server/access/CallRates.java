package dev.sandkeeper.server.access;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.net.InetAddress;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Locale;
import java.util.function.Consumer;

/**
 * How often a key may begin calls, and how often calls from an address may bring no key that works.
 * Addresses of IPv6 count by their network of 64 bits, which is what one subscriber has.
 */
public final class CallRates {
  private static final int NETWORK_BYTES = 8;

  private final RateLimiter keys;
  private final RateLimiter addresses;
  private final Consumer<Kind> refused;

  /** What was done too often. */
  public enum Kind {
    /** A key began calls. */
    KEY,
    /** Calls from an address brought no key, or one that does not work. */
    ADDRESS;

    /** Returns the name in metrics and errors. */
    public String label() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  /**
   * Makes the limits.
   *
   * @param keys the calls of each key, by its id
   * @param addresses the calls without a key that works, from each address
   * @param refused is told of each refusal
   */
  public CallRates(RateLimiter keys, RateLimiter addresses, Consumer<Kind> refused) {
    this.keys = keys;
    this.addresses = addresses;
    this.refused = refused;
  }

  /**
   * Counts a call of a key that works.
   *
   * @throws SandkeeperException {@link ErrorReason#RATE_LIMITED}
   */
  void call(String keyId) {
    keys.take(keyId).ifPresent(wait -> refuse(Kind.KEY, wait));
  }

  /**
   * Refuses a call without a key that was seen to work before, where too many had none.
   *
   * @throws SandkeeperException {@link ErrorReason#RATE_LIMITED}
   */
  void stranger(String address) {
    addresses.look(network(address)).ifPresent(wait -> refuse(Kind.ADDRESS, wait));
  }

  /** Counts a call without a key that works. */
  void failure(String address) {
    var _ = addresses.take(network(address));
  }

  /** Returns the part of an address that is counted by. */
  private static String network(String address) {
    if (!address.contains(":")) {
      return address;
    }
    String unscoped = address.split("%", 2)[0];
    byte[] bytes = InetAddress.ofLiteral(unscoped).getAddress();
    return HexFormat.of().formatHex(bytes, 0, Math.min(bytes.length, NETWORK_BYTES));
  }

  private void refuse(Kind kind, Duration wait) {
    refused.accept(kind);
    throw SandkeeperException.of(
            ErrorReason.RATE_LIMITED,
            kind == Kind.KEY
                ? "The API key makes calls faster than it may; wait and call again."
                : "Too many calls from this address brought no key that works; wait and call"
                    + " again.")
        .with("limit", kind.label())
        .retryAfter(wait);
  }
}
