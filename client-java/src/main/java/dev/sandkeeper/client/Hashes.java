package dev.sandkeeper.client;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Hashes, as the contract has them. */
final class Hashes {
  private Hashes() {}

  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has it", e);
    }
  }
}
