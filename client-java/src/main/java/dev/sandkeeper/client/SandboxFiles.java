package dev.sandkeeper.client;

import dev.sandkeeper.v1.CollectArtifactsRequest;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc.FileServiceBlockingV2Stub;
import dev.sandkeeper.v1.ListDirectoryRequest;
import dev.sandkeeper.v1.MakeDirectoryRequest;
import dev.sandkeeper.v1.MoveRequest;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.RemoveRequest;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.WriteFileTarget;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.OptionalLong;
import java.util.UUID;

/**
 * The files of one sandbox. Paths are inside the sandbox; relative ones start at {@code
 * /home/user}.
 *
 * <p>Every method throws {@link SandkeeperException} when its call fails, with reason {@code
 * FILE_NOT_FOUND}, {@code FILE_REFUSED} or {@code SIZE_LIMIT_EXCEEDED} for what files bring. Bytes
 * go over in parts and no faster than either side takes them, so large files need little memory.
 */
public final class SandboxFiles {
  private static final TransferListener NOBODY = (bytes, totalBytes) -> {};

  private final Calls calls;
  private final Streams streams;
  private final FileServiceBlockingV2Stub stub;
  private final String sandboxId;

  SandboxFiles(Calls calls, Streams streams, FileServiceBlockingV2Stub stub, String sandboxId) {
    this.calls = calls;
    this.streams = streams;
    this.stub = stub;
    this.sandboxId = sandboxId;
  }

  /** Writes a file whole; see {@link #upload(InputStream, String)}. */
  public FileInfo upload(byte[] bytes, String path) {
    try {
      return upload(new ByteArrayInputStream(bytes), path);
    } catch (IOException e) {
      throw new UncheckedIOException("memory cannot fail to be read", e);
    }
  }

  /** Writes a file whole; see {@link #upload(InputStream, String)}. */
  public FileInfo upload(Path source, String path) throws IOException {
    return upload(source, path, NOBODY);
  }

  /** Writes a file whole, and tells how far it is; see {@link #upload(InputStream, String)}. */
  public FileInfo upload(Path source, String path, TransferListener listener) throws IOException {
    try (InputStream in = Files.newInputStream(source)) {
      OptionalLong size = OptionalLong.of(Files.size(source));
      return new Upload(streams, stub, listener, size).send(in, target(path).build());
    }
  }

  /**
   * Writes a file whole. Missing folders are made; a file of that name is replaced when the last
   * byte has come, and whatever fails before leaves it as it was.
   *
   * @param source what to write, read to its end and not closed
   * @param path where to
   * @return the written file
   * @throws IOException when the source cannot be read
   */
  public FileInfo upload(InputStream source, String path) throws IOException {
    return upload(source, target(path));
  }

  /**
   * Puts the files of a tar archive into a directory, which is made if it is missing. Each replaces
   * what is there; nothing of the archive is put in place when any of it may not be.
   *
   * @param archive not compressed; read to its end and not closed
   * @param path the directory
   * @return the directory
   * @throws IOException when the archive cannot be read
   */
  public FileInfo unpack(InputStream archive, String path) throws IOException {
    return upload(archive, target(path).setUnpack(true));
  }

  private FileInfo upload(InputStream source, WriteFileTarget.Builder target) throws IOException {
    return new Upload(streams, stub, NOBODY, OptionalLong.empty()).send(source, target.build());
  }

  private WriteFileTarget.Builder target(String path) {
    return WriteFileTarget.newBuilder().setSandboxId(sandboxId).setPath(path);
  }

  /**
   * Reads the files of a directory, and of those below it, as a tar archive.
   *
   * @param path the directory
   * @param patterns which files, such as {@code **}{@code /*.png}; empty for all
   * @param target takes the archive; not closed
   * @return how many files and symbolic links are in it
   * @throws IOException when the target cannot be written
   */
  public int collect(String path, List<String> patterns, OutputStream target) throws IOException {
    return new Download(streams, NOBODY)
        .collect(
            CollectArtifactsRequest.newBuilder()
                .setSandboxId(sandboxId)
                .setPath(path)
                .addAllPatterns(patterns)
                .build(),
            target);
  }

  /**
   * Reads a file into memory. The server's limit, 50 MB by default, bounds it.
   *
   * @return its bytes
   */
  public byte[] download(String path) {
    return bytes(whole(path));
  }

  /**
   * Reads a part of a file into memory.
   *
   * @param offset how many bytes to skip, 0 or more
   * @param length how many to read at most, 1 or more
   * @return the bytes; fewer when the file ends before, none when it does so before the offset
   */
  public byte[] download(String path, long offset, long length) {
    if (length < 1) {
      throw new IllegalArgumentException("length: " + length + " (expected: >= 1)");
    }
    return bytes(whole(path).toBuilder().setOffset(offset).setLength(length).build());
  }

  /** Reads a file into one on this machine; see the method with a listener. */
  public FileInfo download(String path, Path target) throws IOException {
    return download(path, target, NOBODY);
  }

  /**
   * Reads a file into one on this machine, which appears, or is replaced, when all bytes have come.
   *
   * @param listener learns how far it is
   * @return the file in the sandbox, as it was when reading began
   * @throws IOException when the target cannot be written
   */
  public FileInfo download(String path, Path target, TransferListener listener) throws IOException {
    Path part = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID());
    try {
      FileInfo file;
      try (OutputStream out = Files.newOutputStream(part, StandardOpenOption.CREATE_NEW)) {
        file = new Download(streams, listener).receive(whole(path), out);
      }
      Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
      return file;
    } finally {
      Files.deleteIfExists(part);
    }
  }

  /**
   * Reads a file, no faster than the target takes the bytes.
   *
   * @param target takes the bytes; not closed
   * @return the file as it was when reading began
   * @throws IOException when the target cannot be written
   */
  public FileInfo download(String path, OutputStream target) throws IOException {
    return new Download(streams, NOBODY).receive(whole(path), target);
  }

  /** Lists a directory, sorted by name. */
  public List<FileInfo> list(String path) {
    return list(path, 1);
  }

  /**
   * Lists a directory and what is below it, sorted by name, each directory right before its own
   * entries.
   *
   * @param depth how many levels, 1 to 64
   */
  public List<FileInfo> list(String path, int depth) {
    if (depth < 1) {
      throw new IllegalArgumentException("depth: " + depth + " (expected: 1 to 64)");
    }
    ListDirectoryRequest request =
        ListDirectoryRequest.newBuilder()
            .setSandboxId(sandboxId)
            .setPath(path)
            .setDepth(depth)
            .build();
    return calls.repeatable(stub, s -> s.listDirectory(request)).getFilesList();
  }

  /** Describes a file, directory or link; a link is not followed. */
  public FileInfo stat(String path) {
    StatRequest request = StatRequest.newBuilder().setSandboxId(sandboxId).setPath(path).build();
    return calls.repeatable(stub, s -> s.stat(request)).getFile();
  }

  /** Makes a directory and those above it that are missing. One that exists is left as it is. */
  public FileInfo makeDirectory(String path) {
    MakeDirectoryRequest request =
        MakeDirectoryRequest.newBuilder().setSandboxId(sandboxId).setPath(path).build();
    return calls.repeatable(stub, s -> s.makeDirectory(request)).getFile();
  }

  /**
   * Gives a file, link or directory another path, where there must be nothing yet, or else the call
   * fails with reason {@code ALREADY_EXISTS}.
   */
  public FileInfo move(String path, String toPath) {
    return move(path, toPath, false);
  }

  /**
   * Gives a file, link or directory the path of a file or an empty directory, which it replaces.
   */
  public FileInfo moveReplacing(String path, String toPath) {
    return move(path, toPath, true);
  }

  private FileInfo move(String path, String toPath, boolean replace) {
    MoveRequest request =
        MoveRequest.newBuilder()
            .setSandboxId(sandboxId)
            .setPath(path)
            .setToPath(toPath)
            .setReplace(replace)
            .build();
    return calls.once(stub, s -> s.move(request)).getFile();
  }

  /** Removes a file, a link, or an empty directory. */
  public void remove(String path) {
    remove(path, false);
  }

  /** Removes a directory with all that is in it. */
  public void removeAll(String path) {
    remove(path, true);
  }

  private void remove(String path, boolean recursive) {
    RemoveRequest request =
        RemoveRequest.newBuilder()
            .setSandboxId(sandboxId)
            .setPath(path)
            .setRecursive(recursive)
            .build();
    calls.once(stub, s -> s.remove(request));
  }

  private ReadFileRequest whole(String path) {
    return ReadFileRequest.newBuilder().setSandboxId(sandboxId).setPath(path).build();
  }

  private byte[] bytes(ReadFileRequest request) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      new Download(streams, NOBODY).receive(request, bytes);
    } catch (IOException e) {
      throw new UncheckedIOException("memory cannot fail to be written", e);
    }
    return bytes.toByteArray();
  }
}
