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

  /** What a file is. */
  public enum Type {
    FILE,
    DIRECTORY,
    SYMLINK,
    /** A pipe, socket or device. */
    OTHER
  }
}
