package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.EngineFiles;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.WritableByteChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * The files of one execution that are kept when it is over: an archive beside its journal, or why
 * there is none. They outlive the server, also when it is killed before they are collected.
 */
final class KeptArtifacts {
  private static final String SELECTION = "artifacts.selection";
  private static final String ARCHIVE = "artifacts.tar";
  private static final String RESULT = "artifacts.result";
  private static final String NEW_RESULT = "artifacts.result.new";
  private static final String COLLECTED = "COLLECTED";
  private static final int CHUNK_BYTES = 256 * 1024;

  private final Path folder;
  private final ArtifactSelection selection;

  /** How many files are in the archive; fails with the refusal. */
  private final CompletableFuture<Integer> collected = new CompletableFuture<>();

  private KeptArtifacts(Path folder, ArtifactSelection selection) {
    this.folder = folder;
    this.selection = selection;
  }

  /** Reads the selected files of a sandbox. */
  @FunctionalInterface
  interface Collector {
    /**
     * Hands the archive on.
     *
     * @return how many files are in it
     * @throws SandkeeperException when they cannot be read, or are too many
     */
    int collect(ArtifactSelection selection, EngineFiles.ChunkConsumer chunk);
  }

  /**
   * Notes what is to be collected.
   *
   * @param folder an execution's own
   */
  static KeptArtifacts begin(Path folder, ArtifactSelection selection) throws IOException {
    selection.write(folder.resolve(SELECTION));
    return new KeptArtifacts(folder, selection);
  }

  /** Takes up what an earlier server left in the folder, if there is anything to keep. */
  static Optional<KeptArtifacts> load(Path folder) throws IOException {
    if (!Files.exists(folder.resolve(SELECTION))) {
      return Optional.empty();
    }
    KeptArtifacts kept =
        new KeptArtifacts(folder, ArtifactSelection.read(folder.resolve(SELECTION)));
    if (Files.exists(folder.resolve(RESULT))) {
      kept.settle(Files.readString(folder.resolve(RESULT)));
    }
    return Optional.of(kept);
  }

  ArtifactSelection selection() {
    return selection;
  }

  /** Returns how many bytes are kept. */
  long bytes() {
    return folder.resolve(ARCHIVE).toFile().length(); // 0 when it is not there
  }

  boolean isPending() {
    return !collected.isDone();
  }

  /** Keeps the files as they are now, or why that cannot be; called once. */
  void collect(Collector collector) {
    try {
      String result;
      try (OutputStream archive = Files.newOutputStream(folder.resolve(ARCHIVE))) {
        WritableByteChannel channel = Channels.newChannel(archive);
        result = COLLECTED + " " + collector.collect(selection, chunk -> write(channel, chunk));
      } catch (SandkeeperException e) {
        Files.deleteIfExists(folder.resolve(ARCHIVE));
        result = e.reason() + " " + e.getMessage();
      }
      Files.writeString(folder.resolve(NEW_RESULT), result);
      Files.move(
          folder.resolve(NEW_RESULT), folder.resolve(RESULT), StandardCopyOption.ATOMIC_MOVE);
      settle(result);
    } catch (IOException | RuntimeException e) {
      var _ = folder.resolve(ARCHIVE).toFile().delete();
      collected.completeExceptionally(e);
    }
  }

  /** Says that they will never be collected. */
  void lose() {
    collected.completeExceptionally(notKept());
  }

  private static void write(WritableByteChannel channel, ByteBuffer chunk) {
    try {
      while (chunk.hasRemaining()) {
        channel.write(chunk);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void settle(String result) {
    int end = result.indexOf(' ');
    String word = result.substring(0, end);
    String rest = result.substring(end + 1);
    if (word.equals(COLLECTED)) {
      collected.complete(Integer.parseInt(rest));
    } else {
      collected.completeExceptionally(SandkeeperException.of(ErrorReason.valueOf(word), rest));
    }
  }

  /**
   * Waits until they are collected and hands the archive on.
   *
   * @return how many files are in it
   * @throws SandkeeperException why they could not be collected, or {@link
   *     ErrorReason#ARTIFACTS_NOT_KEPT}
   */
  int read(EngineFiles.ChunkConsumer chunk) throws InterruptedException {
    int count = await();
    try (InputStream archive = Files.newInputStream(folder.resolve(ARCHIVE))) {
      for (byte[] bytes = archive.readNBytes(CHUNK_BYTES);
          bytes.length > 0;
          bytes = archive.readNBytes(CHUNK_BYTES)) {
        chunk.accept(ByteBuffer.wrap(bytes));
      }
      return count;
    } catch (NoSuchFileException e) {
      throw notKept().causedBy(e);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private int await() throws InterruptedException {
    try {
      return collected.get();
    } catch (ExecutionException e) {
      // Made anew, as several may wait for the same.
      throw e.getCause() instanceof SandkeeperException refusal
          ? SandkeeperException.of(refusal.reason(), String.valueOf(refusal.getMessage()))
              .with("path", selection.path())
          : new IllegalStateException(e.getCause());
    }
  }

  static SandkeeperException notKept() {
    return SandkeeperException.of(
        ErrorReason.ARTIFACTS_NOT_KEPT, "The execution's artifacts are no longer kept.");
  }
}
