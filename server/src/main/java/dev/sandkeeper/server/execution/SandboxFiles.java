package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.FileInfo;
import dev.sandkeeper.server.sandbox.LiveSandbox;
import dev.sandkeeper.server.sandbox.Sandboxes;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Function;

/** The files of running sandboxes, within bounds and with an audit event for each use. */
public final class SandboxFiles {
  private final Sandboxes sandboxes;
  private final FileAudit audit;
  private final FileLimits limits;

  /** Makes the files. */
  public SandboxFiles(Sandboxes sandboxes, FileAudit audit, FileLimits limits) {
    this.sandboxes = sandboxes;
    this.audit = audit;
    this.limits = limits;
  }

  /**
   * Begins to write a file.
   *
   * @throws SandkeeperException when the sandbox does not run or the path is refused
   */
  public Upload write(Principal principal, SandboxId sandboxId, String path) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    return inSandbox(
        sandbox,
        files -> new Upload(principal, sandbox, path, files.write(path, limits.maxUploadBytes())));
  }

  /**
   * Reads a range of a file.
   *
   * @param range says which, once it is known what the path names
   * @param begin told of the file before its bytes
   * @param chunk told of the bytes in order; may block
   * @throws SandkeeperException {@link ErrorReason#SIZE_LIMIT_EXCEEDED} when there is more to read
   *     than a download may have, and what {@link #write} may throw
   */
  public void read(
      Principal principal,
      SandboxId sandboxId,
      String path,
      Function<FileInfo, FileRange> range,
      Consumer<FileInfo> begin,
      EngineFiles.ChunkConsumer chunk) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    inSandbox(
        sandbox,
        files -> {
          FileInfo file = files.stat(path);
          FileRange part = range.apply(file);
          long max = limits.maxDownloadBytes();
          boolean sizeKnown = file.sizeKnown();
          long available = sizeKnown ? Math.max(0, file.sizeBytes() - part.offset()) : max + 1;
          long wanted = part.length() == 0 ? available : Math.min(part.length(), available);
          if (sizeKnown && wanted > max) {
            throw tooMuch(path);
          }
          audit.read(principal, sandbox.sandbox(), path);
          begin.accept(file);
          AtomicLong left = new AtomicLong(max);
          files.read(
              path,
              part.offset(),
              wanted,
              bytes -> {
                if (left.addAndGet(-bytes.remaining()) < 0) {
                  throw tooMuch(path);
                }
                chunk.accept(bytes);
              });
          return file;
        });
  }

  private SandkeeperException tooMuch(String path) {
    return SandkeeperException.of(
            ErrorReason.SIZE_LIMIT_EXCEEDED,
            "More bytes than a download may have; read the file in ranges.")
        .with("path", path)
        .with("maxBytes", limits.maxDownloadBytes());
  }

  /** Lists a directory by name. */
  public List<FileInfo> list(Principal principal, SandboxId sandboxId, String path) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    audit.listed(principal, sandbox.sandbox(), path);
    return inSandbox(sandbox, files -> files.list(path, limits.maxEntries()));
  }

  /** Describes a file, directory or link. */
  public FileInfo stat(Principal principal, SandboxId sandboxId, String path) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    audit.listed(principal, sandbox.sandbox(), path);
    return inSandbox(sandbox, files -> files.stat(path));
  }

  /** Removes a file, link or directory. */
  public void remove(Principal principal, SandboxId sandboxId, String path, boolean recursive) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    inSandbox(
        sandbox,
        files -> {
          files.remove(path, recursive);
          audit.removed(principal, sandbox.sandbox(), path);
          return path;
        });
  }

  /** A file being written. Ends by {@link #commit} or {@link #abort}. */
  public final class Upload {
    private final Principal principal;
    private final LiveSandbox sandbox;
    private final String path;
    private final EngineFiles.FileWriter writer;
    private final MessageDigest digest = OutputHash.sha256();

    Upload(Principal principal, LiveSandbox sandbox, String path, EngineFiles.FileWriter writer) {
      this.principal = principal;
      this.sandbox = sandbox;
      this.path = path;
      this.writer = writer;
    }

    /** Adds bytes; may block. */
    public void append(ByteBuffer bytes) {
      digest.update(bytes.duplicate());
      inSandbox(
          sandbox,
          _ -> {
            writer.append(bytes);
            return path;
          });
    }

    /** Says whether there is something at the path that {@link #commit} will replace. */
    public boolean replaces() {
      try {
        return inSandbox(sandbox, files -> files.stat(path)) != null;
      } catch (SandkeeperException e) {
        if (e.reason() == ErrorReason.FILE_NOT_FOUND) {
          return false;
        }
        throw e;
      }
    }

    /** Puts the file in place. */
    public Written commit() {
      FileInfo file = inSandbox(sandbox, _ -> writer.commit());
      byte[] sha256 = digest.digest();
      audit.written(principal, sandbox.sandbox(), path, sha256);
      return new Written(file, sha256);
    }

    /** Leaves nothing of it. */
    public void abort() {
      writer.abort();
    }
  }

  /**
   * A file that was written.
   *
   * @param file the file
   * @param sha256 the SHA-256 of its bytes
   */
  public record Written(FileInfo file, byte[] sha256) {}

  private <T> T inSandbox(LiveSandbox sandbox, Function<EngineFiles, T> work) {
    try {
      return work.apply(sandbox.engine().files());
    } catch (EngineFileException e) {
      throw refused(e);
    } catch (EngineException e) {
      SandkeeperException refusal =
          e.kind() == EngineException.Kind.PAUSED
              ? sandboxes.paused(sandbox.id())
              : sandboxes.notRunning(sandbox.sandbox());
      throw refusal.causedBy(e);
    }
  }

  private SandkeeperException refused(EngineFileException cause) {
    SandkeeperException refusal =
        switch (cause.kind()) {
          case NOT_FOUND ->
              SandkeeperException.of(
                  ErrorReason.FILE_NOT_FOUND, "There is nothing at that path in the sandbox.");
          case INVALID_PATH ->
              SandkeeperException.invalidField(
                  "path", cause.path() + " (expected: 1 to 4096 bytes, no NUL, no `..` component)");
          case TOO_LARGE ->
              SandkeeperException.of(
                      ErrorReason.SIZE_LIMIT_EXCEEDED,
                      "The file has more bytes, or the directory more entries, than is allowed.")
                  .with("maxUploadBytes", limits.maxUploadBytes())
                  .with("maxEntries", limits.maxEntries());
          case NO_SPACE ->
              SandkeeperException.of(
                  ErrorReason.SIZE_LIMIT_EXCEEDED, "The sandbox's disk is full.");
          case NOT_A_DIRECTORY, IS_A_DIRECTORY, NOT_EMPTY, PERMISSION, OTHER ->
              SandkeeperException.of(
                  ErrorReason.FILE_REFUSED, "The sandbox refuses that for this path.");
        };
    return refusal.with("path", cause.path()).with("fault", cause.kind()).causedBy(cause);
  }
}
