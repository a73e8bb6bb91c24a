package dev.sandkeeper.server.net;

import java.net.InetAddress;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/**
 * How far an address leads, by IANA's special-purpose registries
 * (https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry).
 */
public enum Reach {
  /** Anybody's. */
  PUBLIC,
  /** Of this machine or of a private network. */
  PRIVATE,
  /** Nobody's to connect to: where clouds keep credentials, link-local, multicast and so on. */
  FORBIDDEN;

  private static final List<Block> PRIVATE_BLOCKS =
      blocks(
          "10.0.0.0/8",
          "100.64.0.0/10",
          "127.0.0.0/8",
          "172.16.0.0/12",
          "192.168.0.0/16",
          "::1/128",
          "fc00::/7");

  private static final List<Block> FORBIDDEN_BLOCKS =
      blocks(
          "0.0.0.0/8",
          "169.254.0.0/16",
          "192.0.0.0/24",
          "192.0.2.0/24",
          "192.88.99.0/24",
          "198.18.0.0/15",
          "198.51.100.0/24",
          "203.0.113.0/24",
          "224.0.0.0/3",
          "2001::/23",
          "2001:db8::/32",
          "2002::/16",
          "3fff::/20");

  /**
   * What machines in clouds find their host and their credentials at, beside link-local addresses.
   * By the registries they are public or private.
   */
  private static final List<Block> CLOUD_BLOCKS =
      blocks(
          "100.100.100.200/32", // Alibaba
          "168.63.129.16/32", // Azure, WireServer
          "fd00:42::42/128", // Scaleway
          "fd00:100::100:200/128", // Alibaba
          "fd00:a9fe:a9fe::1/128", // Akamai
          "fd00:c1::a9fe:a9fe/128", // Oracle
          "fd00:ec2::/32", // Amazon
          "fd20:ce::254/128"); // Google

  private static final List<Block> ASSIGNED_BLOCKS = blocks("0.0.0.0/0", "2000::/3");

  /** Of IPv4 in IPv6, {@code ::ffff:0:0/96}. */
  private static final byte[] MAPPED_PREFIX = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1};

  /** Returns how far an address leads. IPv4 in IPv6 counts as the IPv4 address that it is. */
  public static Reach of(InetAddress address) {
    byte[] bytes = unmapped(address.getAddress());
    if (isIn(CLOUD_BLOCKS, bytes)) {
      return FORBIDDEN;
    }
    if (isIn(PRIVATE_BLOCKS, bytes)) {
      return PRIVATE;
    }
    return isIn(ASSIGNED_BLOCKS, bytes) && !isIn(FORBIDDEN_BLOCKS, bytes) ? PUBLIC : FORBIDDEN;
  }

  private static byte[] unmapped(byte[] bytes) {
    boolean isMapped =
        bytes.length == 16 && Arrays.mismatch(bytes, MAPPED_PREFIX) == MAPPED_PREFIX.length;
    return isMapped ? Arrays.copyOfRange(bytes, MAPPED_PREFIX.length, bytes.length) : bytes;
  }

  private static boolean isIn(List<Block> blocks, byte[] bytes) {
    return blocks.stream().anyMatch(block -> block.contains(bytes));
  }

  private static List<Block> blocks(String... texts) {
    return Stream.of(texts).map(Block::of).toList();
  }
}
