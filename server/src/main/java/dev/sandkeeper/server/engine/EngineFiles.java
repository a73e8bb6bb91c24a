package dev.sandkeeper.server.engine;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.UUID;
import java.util.function.Consumer;

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
   * Begins, or goes on, to write a file by an upload that stays when it breaks. It takes room on
   * the sandbox's disk until it is committed, aborted, or has waited too long.
   *
   * @param path where it will be
   * @param maxBytes more than this, with what came before, fails with {@code TOO_LARGE}
   * @param resumption which upload, and where it goes on
   * @param before takes the bytes before the offset
   */
  FileWriter resume(String path, long maxBytes, UploadResumption resumption, ChunkConsumer before);

  /**
   * Begins to write the files of a tar archive into a folder, which is made if it is missing. At
   * commit all its files, folders, symbolic and hard links are put in place, each at one stroke and
   * replacing what is there unless that is a folder; nothing of it when it holds anything else, or
   * a path that leads out of the folder.
   *
   * @param path the folder
   * @param maxBytes more bytes of the archive, or of all files in it, fail with {@code TOO_LARGE}
   * @param limit more entries than this fail with {@code TOO_LARGE}
   * @return takes the archive, not compressed; its commit fails with {@code BAD_ARCHIVE} for what
   *     is none
   */
  FileWriter unpack(String path, long maxBytes, int limit);

  /**
   * Reads files of a folder and of those below it, 64 levels deep, as a tar archive with the names
   * below the folder. Links are not followed.
   *
   * @param path an existing folder
   * @param patterns of the names of files and symbolic links, at least one: {@code *} and {@code ?}
   *     stand for what is within a name, {@code **} for any folders
   * @param maxBytes more bytes of all files fail with {@code TOO_LARGE}
   * @param limit more files fail with {@code TOO_LARGE}
   * @param consumer takes the archive in order; may block
   * @return how many files
   */
  int collect(String path, List<String> patterns, long maxBytes, int limit, ChunkConsumer consumer);

  /** Returns how many bytes have come of an upload that may be continued, 0 if there is none. */
  long uploadedBytes(UUID uploadId);

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
   * Lists a folder, and what is below it, by name: each folder right before its own entries. Links
   * are not followed; a folder below that may not be read is listed without its entries.
   *
   * @param path an existing folder
   * @param depth 1 for its own entries, 2 for theirs as well, and so on; at least 1
   * @param limit at most this many entries, 1 to 10,000; more fail with {@code TOO_LARGE}, and so
   *     does an entry whose path is too long for any call
   */
  List<FileEntry> list(String path, int depth, int limit);

  /** Describes a file, folder or symbolic link, without following the last link. */
  FileInfo stat(String path);

  /** Makes a folder and those above it that are missing. One that exists is left as it is. */
  FileInfo makeDirectory(String path);

  /**
   * Gives a file, link or folder another path, without following a link. Folders of the new path
   * that are missing are made.
   *
   * @param path what to move
   * @param toPath its new path
   * @param replace whether a file or an empty folder that is there already is replaced
   * @return what was moved, at its new path
   */
  FileInfo move(String path, String toPath, boolean replace);

  /**
   * Tells of what happens in a folder, itself included, until the folder is gone from its path.
   *
   * <p>A consumer that is slow makes nothing grow: when the kernel's queue is full, what comes next
   * is lost, and an {@code OVERFLOW} says so.
   *
   * @param path an existing folder
   * @param recursive whether to tell of what happens below its own folders, too, 64 levels deep;
   *     what comes with a new folder may then be told twice
   * @param limit more folders than this fail with {@code TOO_MANY_WATCHES}, at any time
   * @param begin told of the folder once nothing that happens in it is missed
   * @param consumer told of changes in order; may block
   */
  void watch(
      String path,
      boolean recursive,
      int limit,
      Consumer<FileInfo> begin,
      Consumer<FileChange> consumer);

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

    /**
     * Leaves off. What was written by {@link EngineFiles#resume} stays and can be gone on with;
     * else the same as {@link #abort}.
     */
    void leave();

    /** The same as {@link #abort}. */
    @Override
    default void close() {
      abort();
    }
  }
}
