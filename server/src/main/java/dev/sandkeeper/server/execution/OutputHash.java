package dev.sandkeeper.server.execution;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** Counts and hashes a stream of bytes. Belongs to one thread. */
public final class OutputHash {
  private final MessageDigest digest = sha256();
  private long bytes;

  /** Returns how many bytes have come. */
  long bytes() {
    return bytes;
  }

  /** Takes the remaining bytes, whose position stays. */
  public void update(ByteBuffer data) {
    bytes += data.remaining();
    digest.update(data.duplicate());
  }

  /** Returns the count and the hash; nothing can be added after. */
  public Execution.OutputDigest finish() {
    return new Execution.OutputDigest(bytes, digest.digest());
  }

  /** Returns a fresh SHA-256, which every JDK has. */
  static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }
}
