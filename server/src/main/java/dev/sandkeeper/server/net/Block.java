package dev.sandkeeper.server.net;

import java.net.InetAddress;

/**
 * The addresses that begin with the same bits.
 *
 * @param start one of them, 4 or 16 bytes
 * @param bits how many bits they share
 */
record Block(byte[] start, int bits) {
  /** Reads a block such as {@code 10.0.0.0/8}. */
  static Block of(String text) {
    int slash = text.indexOf('/');
    return new Block(
        InetAddress.ofLiteral(text.substring(0, slash)).getAddress(),
        Integer.parseInt(text.substring(slash + 1)));
  }

  /** Says whether an address of 4 or 16 bytes is one of them. */
  boolean contains(byte[] address) {
    if (address.length != start.length) {
      return false;
    }
    for (int bit = 0; bit < bits; bit++) {
      int mask = 0x80 >> (bit % 8);
      if (((address[bit / 8] ^ start[bit / 8]) & mask) != 0) {
        return false;
      }
    }
    return true;
  }
}
