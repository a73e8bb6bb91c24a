package dev.sandkeeper.server.engine;

import java.time.Instant;

/**
 * A file of a sandbox.
 *
 * @param path absolute, inside the sandbox
 * @param type what it is
 * @param sizeBytes its length; 0 unless a regular file
 * @param mode permission bits, 0 to 07777
 * @param modifyTime last change of its content, by the sandbox's clock
 */
public record FileInfo(String path, Type type, long sizeBytes, int mode, Instant modifyTime) {
  /**
   * Says whether reading the path gives as many bytes as its size says. A link has no size of its
   * own, and what a kernel makes up as it is read says zero.
   */
  public boolean sizeKnown() {
    return type == Type.FILE && sizeBytes > 0;
  }

  /** What a file is. */
  public enum Type {
    FILE,
    DIRECTORY,
    SYMLINK,
    /** A pipe, socket or device. */
    OTHER
  }
}
