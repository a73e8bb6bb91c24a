package dev.sandkeeper.server.engine;

import java.nio.ByteBuffer;
import java.util.List;

/**
 * The files of a sandbox, as its user sees them. All work is done inside the sandbox with the
 * user's rights, so no path can lead anywhere else.
 *
 * <p>Relative paths start at the user's home. A path with NUL or a {@code ..} component is refused.
 * Every method throws {@link EngineFileException} for what is wrong with the path, and {@link
 * EngineException} when the sandbox is gone, and of kind {@code PAUSED} while it is paused.
 */
public interface EngineFiles {

  /**
   * Begins to write a file. Missing folders are made; an existing file is replaced at commit.
   *
   * @param path where it will be
   * @param maxBytes more than this fails with {@code TOO_LARGE}; at least 0
   */
  FileWriter write(String path, long maxBytes);

  /**
   * Reads a range of a file.
   *
   * @param path an existing regular file
   * @param offset the first byte, at least 0; past the end reads nothing
   * @param maxBytes at most this many bytes, at least 0
   * @param consumer takes the bytes in order; may block
   */
  void read(String path, long offset, long maxBytes, ChunkConsumer consumer);

  /**
   * Lists a folder by name.
   *
   * @param path an existing folder
   * @param limit at most this many entries, 1 to 10,000; more fail with {@code TOO_LARGE}
   */
  List<FileInfo> list(String path, int limit);

  /** Describes a file, folder or symbolic link, without following the last link. */
  FileInfo stat(String path);

  /**
   * Removes a file, link or folder, without following a link.
   *
   * @param path what to remove
   * @param recursive whether a folder that is not empty is removed with all it holds
   */
  void remove(String path, boolean recursive);

  /** Takes the bytes of a file. */
  @FunctionalInterface
  interface ChunkConsumer {
    /**
     * Takes the next bytes.
     *
     * @param bytes not empty; valid during the call only
     */
    void accept(ByteBuffer bytes);
  }

  /** A file being written. Until commit nothing is to be seen under its path. */
  interface FileWriter extends AutoCloseable {
    /** Appends the remaining bytes; may block. */
    void append(ByteBuffer bytes);

    /** Puts the file in place, replacing what was there, and describes it. */
    FileInfo commit();

    /** Drops everything written. Does nothing after {@link #commit}. */
    void abort();

    /** The same as {@link #abort}. */
    @Override
    default void close() {
      abort();
    }
  }
}
