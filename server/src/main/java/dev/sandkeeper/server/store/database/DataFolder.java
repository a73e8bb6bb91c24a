package dev.sandkeeper.server.store.database;

import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.WRITE;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.jspecify.annotations.Nullable;

/**
 * The folder in which one server keeps everything, locked against a second one for as long as this
 * is open. The kernel releases the lock of a process that was killed.
 */
public final class DataFolder implements AutoCloseable {
  private final Path path;
  private final FileChannel lockChannel;

  private DataFolder(Path path, FileChannel lockChannel) {
    this.path = path;
    this.lockChannel = lockChannel;
  }

  /**
   * Makes the folder if need be, for its owner alone, and locks it.
   *
   * @throws DatabaseException when another server has it locked, or it cannot be made or written
   */
  public static DataFolder open(Path folder) {
    try {
      Files.createDirectories(
          folder,
          PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
      // Other names of the same folder must not hide that a PostgreSQL runs on it.
      Path path = folder.toRealPath();
      FileChannel channel = FileChannel.open(path.resolve("lock"), CREATE, WRITE);
      if (!locked(channel)) {
        channel.close();
        throw new DatabaseException(
            "The data folder is in use by another server: "
                + path
                + ". Stop that server, or give this one a data folder of its own.");
      }
      return new DataFolder(path, channel);
    } catch (IOException e) {
      throw new DatabaseException(
          "The data folder cannot be used: " + folder + ". It must be writable by this user.", e);
    }
  }

  private static boolean locked(FileChannel channel) throws IOException {
    try {
      @Nullable FileLock lock = channel.tryLock();
      return lock != null;
    } catch (OverlappingFileLockException e) {
      return false;
    }
  }

  /** Returns the folder's absolute path, without symbolic links. */
  public Path path() {
    return path;
  }

  /** Releases the lock. */
  @Override
  public void close() {
    try {
      lockChannel.close();
    } catch (IOException e) {
      throw new DatabaseException("The data folder's lock could not be released.", e);
    }
  }
}
