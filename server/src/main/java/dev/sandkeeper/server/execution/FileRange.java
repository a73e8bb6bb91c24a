package dev.sandkeeper.server.execution;

/**
 * A part of a file.
 *
 * @param offset how many bytes come before it, at least 0
 * @param length how many bytes it has at most; 0 for all to the end
 */
public record FileRange(long offset, long length) {
  /** All of it. */
  public static final FileRange WHOLE = new FileRange(0, 0);
}
