package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.FileChange;
import dev.sandkeeper.server.engine.FileEntry;
import dev.sandkeeper.server.engine.FileInfo;
import dev.sandkeeper.server.engine.UploadResumption;
import dev.sandkeeper.server.sandbox.LiveSandbox;
import dev.sandkeeper.server.sandbox.Sandbox;
import dev.sandkeeper.server.sandbox.Sandboxes;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BiFunction;
import java.util.function.Consumer;
import java.util.function.Function;

/** The files of running sandboxes, within bounds and with an audit event for each use. */
public final class SandboxFiles {
  private static final Duration UPLOAD_RETRY_DELAY = Duration.ofSeconds(1);

  private final Sandboxes sandboxes;
  private final FileAudit audit;
  private final FileLimits limits;

  /** How many watches each sandbox has that has any. */
  private final Map<SandboxId, Integer> watches = new ConcurrentHashMap<>();

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
  public Upload write(Principal principal, SandboxId sandboxId, String path, UploadTerms terms) {
    LiveSandbox sandbox = requireInUse(principal, sandboxId);
    boolean begun = false;
    try {
      Upload upload = inSandbox(sandbox, files -> write(files, principal, sandbox, path, terms));
      begun = true;
      return upload;
    } finally {
      if (!begun) {
        sandbox.endUse();
      }
    }
  }

  /** Writes a file whole. */
  void write(Principal principal, SandboxId sandboxId, String path, byte[] content) {
    Upload upload = write(principal, sandboxId, path, UploadTerms.NONE);
    try {
      upload.append(ByteBuffer.wrap(content));
      var _ = upload.commit();
    } finally {
      upload.abort();
    }
  }

  private Upload write(
      EngineFiles files, Principal principal, LiveSandbox sandbox, String path, UploadTerms terms) {
    OutputHash hash = new OutputHash();
    EngineFiles.FileWriter writer = writer(files, path, terms, hash);
    return new Upload(principal, sandbox, path, terms, writer, hash);
  }

  private EngineFiles.FileWriter writer(
      EngineFiles files, String path, UploadTerms terms, OutputHash hash) {
    UUID uploadId = terms.uploadId();
    if (terms.unpack()) {
      return files.unpack(path, limits.maxUploadBytes(), limits.maxEntries());
    }
    if (uploadId == null) {
      return files.write(path, limits.maxUploadBytes());
    }
    return files.resume(
        path,
        limits.maxUploadBytes(),
        new UploadResumption(
            uploadId, terms.offset(), limits.maxPartialUploads(), limits.keepPartialUploads()),
        hash::update);
  }

  /** Returns how many bytes have come of an upload that may be gone on with, 0 if there is none. */
  public long uploadedBytes(Principal principal, SandboxId sandboxId, UUID uploadId) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    return inSandbox(sandbox, files -> files.uploadedBytes(uploadId));
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

  /**
   * Reads the files of a directory that match a pattern, as an archive.
   *
   * @param patterns empty for all
   * @param chunk told of the archive's bytes in order; may block
   * @return how many files
   * @throws SandkeeperException {@link ErrorReason#SIZE_LIMIT_EXCEEDED} when they are more than a
   *     listing, or have more bytes than a download may have
   */
  public int collect(
      Principal principal,
      SandboxId sandboxId,
      String path,
      List<String> patterns,
      EngineFiles.ChunkConsumer chunk) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    ArtifactSelection selection = new ArtifactSelection(path, patterns);
    noteCollected(principal, sandbox.sandbox(), selection);
    return collect(sandbox, selection, limits.maxDownloadBytes(), chunk);
  }

  /**
   * Reads the artifacts of an execution, which somebody may read later.
   *
   * @param maxBytes how many bytes of files there may be, within what a download may have
   */
  int collect(
      Sandbox sandbox,
      ArtifactSelection selection,
      long maxBytes,
      EngineFiles.ChunkConsumer chunk) {
    LiveSandbox live =
        sandboxes.live(sandbox.sandboxId()).orElseThrow(() -> sandboxes.notRunning(sandbox));
    return collect(live, selection, Math.min(maxBytes, limits.maxDownloadBytes()), chunk);
  }

  private int collect(
      LiveSandbox sandbox,
      ArtifactSelection selection,
      long maxBytes,
      EngineFiles.ChunkConsumer chunk) {
    return inSandbox(
        sandbox,
        files ->
            files.collect(
                selection.path(),
                selection.patterns().isEmpty() ? List.of("**") : selection.patterns(),
                maxBytes,
                limits.maxEntries(),
                chunk));
  }

  /** Writes down that files are read as an archive. */
  void noteCollected(Principal principal, Sandbox sandbox, ArtifactSelection selection) {
    audit.collected(principal, sandbox, selection.path(), selection.patterns());
  }

  private SandkeeperException tooMuch(String path) {
    return SandkeeperException.of(
            ErrorReason.SIZE_LIMIT_EXCEEDED,
            "More bytes than a download may have; read the file in ranges.")
        .with("path", path)
        .with("maxBytes", limits.maxDownloadBytes());
  }

  /**
   * Lists a directory by name.
   *
   * @param depth how many levels of it, at least 1
   */
  public List<FileEntry> list(Principal principal, SandboxId sandboxId, String path, int depth) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    audit.listed(principal, sandbox.sandbox(), path);
    return inSandbox(sandbox, files -> files.list(path, depth, limits.maxEntries()));
  }

  /** Describes a file, directory or link. */
  public FileInfo stat(Principal principal, SandboxId sandboxId, String path) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    audit.listed(principal, sandbox.sandbox(), path);
    return inSandbox(sandbox, files -> files.stat(path));
  }

  /**
   * Tells of what happens in a directory, until it is gone.
   *
   * @param recursive whether to tell of what happens below its own directories, too
   * @param begin told of the directory once nothing that happens in it is missed
   * @param change told of what happens, in order; may block
   * @throws SandkeeperException {@link ErrorReason#TOO_MANY_REQUESTS} when the sandbox has as many
   *     watches as it may, and {@link ErrorReason#SANDBOX_NOT_RUNNING} also when it ends later
   */
  public void watch(
      Principal principal,
      SandboxId sandboxId,
      String path,
      boolean recursive,
      Consumer<FileInfo> begin,
      Consumer<FileChange> change) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    int count = watches.merge(sandboxId, 1, Integer::sum);
    try {
      if (count > limits.maxWatches()) {
        throw tooManyWatches().with("maxWatches", limits.maxWatches());
      }
      audit.watched(principal, sandbox.sandbox(), path);
      inSandbox(
          sandbox,
          files -> {
            files.watch(path, recursive, limits.maxEntries(), begin, change);
            return path;
          });
    } finally {
      watches.computeIfPresent(sandboxId, (_, open) -> open == 1 ? null : open - 1);
    }
  }

  private static SandkeeperException tooManyWatches() {
    return SandkeeperException.of(
        ErrorReason.TOO_MANY_REQUESTS, "As many directories are watched as may be; end a watch.");
  }

  /** Makes a directory and those above it that are missing. */
  public FileInfo makeDirectory(Principal principal, SandboxId sandboxId, String path) {
    return change(
        principal,
        sandboxId,
        (sandbox, files) -> {
          FileInfo directory = files.makeDirectory(path);
          audit.made(principal, sandbox, path);
          return directory;
        });
  }

  /**
   * Gives a file, link or directory another path.
   *
   * @param replace whether a file or an empty directory that is there already is replaced
   * @throws SandkeeperException {@link ErrorReason#ALREADY_EXISTS} when there is something and it
   *     is not to be replaced, and what {@link #write} may throw
   */
  public FileInfo move(
      Principal principal, SandboxId sandboxId, String path, String toPath, boolean replace) {
    try {
      return change(
          principal,
          sandboxId,
          (sandbox, files) -> {
            FileInfo moved = moved(files, path, toPath, replace);
            audit.moved(principal, sandbox, path, toPath);
            return moved;
          });
    } catch (SandkeeperException e) {
      throw e.with("toPath", toPath);
    }
  }

  private static FileInfo moved(EngineFiles files, String path, String toPath, boolean replace) {
    try {
      return files.move(path, toPath, replace);
    } catch (EngineFileException e) {
      if (e.kind() == EngineFileException.Kind.INVALID_PATH && e.path().equals(toPath)) {
        throw invalidPath("to_path", e);
      }
      throw e;
    }
  }

  /** Removes a file, link or directory. */
  public void remove(Principal principal, SandboxId sandboxId, String path, boolean recursive) {
    change(
        principal,
        sandboxId,
        (sandbox, files) -> {
          files.remove(path, recursive);
          audit.removed(principal, sandbox, path);
          return path;
        });
  }

  private <T> T change(
      Principal principal, SandboxId sandboxId, BiFunction<Sandbox, EngineFiles, T> work) {
    LiveSandbox sandbox = requireInUse(principal, sandboxId);
    try {
      return inSandbox(sandbox, files -> work.apply(sandbox.sandbox(), files));
    } finally {
      sandbox.endUse();
    }
  }

  /** Returns the sandbox, which is not idle until its use is ended. */
  private LiveSandbox requireInUse(Principal principal, SandboxId sandboxId) {
    LiveSandbox sandbox = sandboxes.requireRunning(principal, sandboxId);
    if (!sandbox.beginUse()) {
      throw sandboxes.notRunning(sandbox.sandbox());
    }
    return sandbox;
  }

  /** A file being written. Ends by {@link #commit}, {@link #abort} or {@link #leave}. */
  public final class Upload {
    private final Principal principal;
    private final LiveSandbox sandbox;
    private final String path;
    private final UploadTerms terms;
    private final EngineFiles.FileWriter writer;
    private final OutputHash hash;
    private final AtomicBoolean inUse = new AtomicBoolean(true);

    Upload(
        Principal principal,
        LiveSandbox sandbox,
        String path,
        UploadTerms terms,
        EngineFiles.FileWriter writer,
        OutputHash hash) {
      this.principal = principal;
      this.sandbox = sandbox;
      this.path = path;
      this.terms = terms;
      this.writer = writer;
      this.hash = hash;
    }

    /** Adds bytes; may block. */
    public void append(ByteBuffer bytes) {
      hash.update(bytes);
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

    /**
     * Puts the file in place.
     *
     * @throws SandkeeperException {@link ErrorReason#INVALID_FIELD} when other bytes came than were
     *     promised; nothing of them is left then
     */
    public Written commit() {
      Execution.OutputDigest came = hash.finish();
      byte[] sha256 = came.sha256();
      checkPromises(came);
      FileInfo file = inSandbox(sandbox, _ -> writer.commit());
      endUse();
      audit.written(principal, sandbox.sandbox(), path, sha256);
      return new Written(file, sha256);
    }

    private void checkPromises(Execution.OutputDigest came) {
      Long sizeBytes = terms.sizeBytes();
      byte[] sha256 = terms.sha256();
      if (sizeBytes != null && sizeBytes != came.bytes()) {
        writer.abort();
        throw SandkeeperException.invalidField(
            "target.size_bytes", sizeBytes + " (expected: " + came.bytes() + ", what came)");
      }
      if (sha256 != null && !Arrays.equals(sha256, came.sha256())) {
        writer.abort();
        throw SandkeeperException.invalidField(
            "target.sha256",
            "%s (expected: %s, of what came)"
                .formatted(
                    HexFormat.of().formatHex(sha256), HexFormat.of().formatHex(came.sha256())));
      }
    }

    /** Leaves nothing of it. */
    public void abort() {
      writer.abort();
      endUse();
    }

    /** Leaves what can be gone on with. */
    public void leave() {
      writer.leave();
      endUse();
    }

    private void endUse() {
      if (inUse.getAndSet(false)) {
        sandbox.endUse();
      }
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
      throw sandboxes.unusable(sandbox.sandbox(), e);
    }
  }

  private static SandkeeperException invalidPath(String field, EngineFileException cause) {
    return SandkeeperException.invalidField(
        field, cause.path() + " (expected: 1 to 4096 bytes, no NUL, no `..` component)");
  }

  private SandkeeperException refused(EngineFileException cause) {
    SandkeeperException refusal =
        switch (cause.kind()) {
          case NOT_FOUND ->
              SandkeeperException.of(
                  ErrorReason.FILE_NOT_FOUND, "There is nothing at that path in the sandbox.");
          case INVALID_PATH -> invalidPath("path", cause);
          case INTO_ITSELF ->
              SandkeeperException.invalidField(
                  "to_path", "the same as path or below it (expected: another place)");
          case EXISTS ->
              SandkeeperException.of(
                  ErrorReason.ALREADY_EXISTS,
                  "There is something at the new path already; set replace, or take another path.");
          case BAD_ARCHIVE ->
              SandkeeperException.invalidField(
                  "data",
                  cause.path()
                      + " (expected: a tar archive, not compressed, of files, directories and links"
                      + " with relative paths that stay in the directory)");
          case TOO_MANY_WATCHES -> tooManyWatches();
          case TOO_MANY_UPLOADS ->
              SandkeeperException.of(
                      ErrorReason.TOO_MANY_REQUESTS,
                      "As many broken uploads wait as may; finish one, or wait until one is dropped.")
                  .with("maxPartialUploads", limits.maxPartialUploads());
          case UPLOAD_BUSY ->
              SandkeeperException.of(
                      ErrorReason.CONCURRENT_CHANGE, "Another call writes to the upload.")
                  .retryAfter(UPLOAD_RETRY_DELAY);
          case UPLOAD_OFFSET ->
              SandkeeperException.invalidField(
                  "target.offset", "more than has come (expected: at most what GetUpload says)");
          case TOO_LARGE ->
              SandkeeperException.of(
                      ErrorReason.SIZE_LIMIT_EXCEEDED,
                      "The file has more bytes, or the directory or archive more entries or bytes, than"
                          + " is allowed.")
                  .with("maxUploadBytes", limits.maxUploadBytes())
                  .with("maxDownloadBytes", limits.maxDownloadBytes())
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
