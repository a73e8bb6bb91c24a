package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc.FileServiceBlockingV2Stub;
import dev.sandkeeper.v1.ListDirectoryRequest;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import dev.sandkeeper.v1.RemoveRequest;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.Status;
import io.grpc.stub.BlockingClientCall;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The files of one sandbox. Paths are inside the sandbox; relative ones start at {@code
 * /home/user}.
 *
 * <p>Every method throws {@link SandkeeperException} when the call fails, with reason {@code
 * FILE_NOT_FOUND}, {@code FILE_REFUSED} or {@code SIZE_LIMIT_EXCEEDED} for what files bring.
 */
public final class SandboxFiles {
  private static final int CHUNK_BYTES = 256 * 1024;

  private final FileServiceBlockingV2Stub stub;
  private final String sandboxId;
  private final Duration callTimeout;

  SandboxFiles(FileServiceBlockingV2Stub stub, String sandboxId, Duration callTimeout) {
    this.stub = stub;
    this.sandboxId = sandboxId;
    this.callTimeout = callTimeout;
  }

  /** Writes a file whole; see {@link #upload(InputStream, String)}. */
  public WriteFileResponse upload(byte[] bytes, String path) {
    try {
      return upload(new ByteArrayInputStream(bytes), path);
    } catch (IOException e) {
      throw new UncheckedIOException("memory cannot fail to be read", e);
    }
  }

  /** Writes a file whole; see {@link #upload(InputStream, String)}. */
  public WriteFileResponse upload(Path source, String path) throws IOException {
    try (InputStream in = Files.newInputStream(source)) {
      return upload(in, path);
    }
  }

  /**
   * Writes a file whole. Missing folders are made; a file of that name is replaced when the last
   * byte has come. Reads no faster than the server takes the bytes.
   *
   * @param source what to write, read to its end and not closed
   * @param path where to
   * @return the written file and the SHA-256 of its bytes
   * @throws IOException when the source cannot be read; nothing is written then
   */
  public WriteFileResponse upload(InputStream source, String path) throws IOException {
    BlockingClientCall<WriteFileRequest, WriteFileResponse> call = stub.writeFile();
    try {
      boolean open =
          send(
              call,
              WriteFileRequest.newBuilder()
                  .setTarget(WriteFileTarget.newBuilder().setSandboxId(sandboxId).setPath(path)));
      while (open) {
        byte[] chunk = source.readNBytes(CHUNK_BYTES);
        if (chunk.length == 0) {
          break;
        }
        // The array is ours alone and never touched again, so it need not be copied.
        ByteString data = UnsafeByteOperations.unsafeWrap(chunk);
        open = send(call, WriteFileRequest.newBuilder().setData(data));
      }
      // A server that refused closed the call early; reading the answer then throws its reason.
      if (open) {
        call.halfClose();
      }
      return required(Calls.step(call, call::read));
    } finally {
      // Does nothing after the answer; after a failure it tells the server to drop what came.
      call.cancel("upload over", null);
    }
  }

  /**
   * Reads a file into memory. The server's limit, 50 MB by default, bounds it.
   *
   * @return its bytes
   */
  public byte[] download(String path) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      download(path, bytes);
    } catch (IOException e) {
      throw new UncheckedIOException("memory cannot fail to be written", e);
    }
    return bytes.toByteArray();
  }

  /**
   * Reads a file into one on this machine, which appears, or is replaced, when all bytes have come.
   *
   * @return the file as it was when reading began
   * @throws IOException when the target cannot be written
   */
  public FileInfo download(String path, Path target) throws IOException {
    Path folder = target.toAbsolutePath().getParent();
    if (folder == null) {
      throw new IOException("not a file: " + target);
    }
    Path part = Files.createTempFile(folder, ".download", ".part");
    try {
      FileInfo file;
      try (OutputStream out = Files.newOutputStream(part)) {
        file = download(path, out);
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
   * @param path the file
   * @param target takes the bytes; not closed
   * @return the file as it was when reading began
   * @throws IOException when the target cannot be written
   */
  public FileInfo download(String path, OutputStream target) throws IOException {
    ReadFileRequest request =
        ReadFileRequest.newBuilder().setSandboxId(sandboxId).setPath(path).build();
    BlockingClientCall<?, ReadFileResponse> call = stub.readFile(request);
    try {
      FileInfo file = required(Calls.step(call, call::read)).getFile();
      @Nullable ReadFileResponse part = Calls.step(call, call::read);
      while (part != null) {
        part.getData().writeTo(target);
        part = Calls.step(call, call::read);
      }
      return file;
    } finally {
      call.cancel("download over", null);
    }
  }

  /** Lists a directory, sorted by name. */
  public List<FileInfo> list(String path) {
    ListDirectoryRequest request =
        ListDirectoryRequest.newBuilder().setSandboxId(sandboxId).setPath(path).build();
    return Calls.unary(() -> timed().listDirectory(request)).getFilesList();
  }

  /** Describes a file, directory or link; a link is not followed. */
  public FileInfo stat(String path) {
    StatRequest request = StatRequest.newBuilder().setSandboxId(sandboxId).setPath(path).build();
    return Calls.unary(() -> timed().stat(request)).getFile();
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
    Calls.unary(() -> timed().remove(request));
  }

  private FileServiceBlockingV2Stub timed() {
    return stub.withDeadlineAfter(callTimeout.toMillis(), TimeUnit.MILLISECONDS);
  }

  private static boolean send(
      BlockingClientCall<WriteFileRequest, WriteFileResponse> call,
      WriteFileRequest.Builder request) {
    return Calls.step(call, () -> call.write(request.build()));
  }

  private static <T> T required(@Nullable T message) {
    if (message == null) {
      throw SandkeeperException.local(
          Status.Code.DATA_LOSS, "The server ended the stream without an answer.", null);
    }
    return message;
  }
}
