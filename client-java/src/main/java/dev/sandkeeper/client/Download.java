package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.ArchiveEnd;
import dev.sandkeeper.v1.CollectArtifactsRequest;
import dev.sandkeeper.v1.CollectArtifactsResponse;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.FileType;
import dev.sandkeeper.v1.ReadArtifactsRequest;
import dev.sandkeeper.v1.ReadArtifactsResponse;
import dev.sandkeeper.v1.ReadFileEnd;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.io.IOException;
import java.io.OutputStream;
import java.security.MessageDigest;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Function;

/** Takes a file, a part of one, or an archive from a sandbox. */
final class Download {
  private final Streams streams;
  private final TransferListener listener;

  Download(Streams streams, TransferListener listener) {
    this.streams = streams;
    this.listener = listener;
  }

  /** Writes what was asked for and returns the file as it was when reading began. */
  FileInfo receive(ReadFileRequest request, OutputStream target) throws IOException {
    try (MessageReader<ReadFileResponse> parts =
        MessageReader.open(streams, FileServiceGrpc.getReadFileMethod(), request)) {
      FileInfo file =
          parts
              .next()
              .orElseThrow(() -> broken("The server ended the stream without an answer."))
              .getFile();
      OptionalLong size = size(file, request);
      MessageDigest digest = Hashes.sha256();
      long received = 0;
      for (Optional<ReadFileResponse> part = parts.next(); part.isPresent(); part = parts.next()) {
        if (part.get().hasEnd()) {
          ReadFileEnd end = part.get().getEnd();
          check(end.getSentBytes(), end.getSha256(), received, digest);
          continue;
        }
        received += take(part.get().getData(), digest, target);
        listener.onProgress(received, size);
      }
      if (size.isPresent() && size.getAsLong() != received) {
        throw broken(
            "The file changed while it was read: "
                + received
                + " bytes came of "
                + size.getAsLong()
                + ".");
      }
      return file;
    }
  }

  /** Writes the archive that was asked for and returns how many files are in it. */
  int collect(CollectArtifactsRequest request, OutputStream target) throws IOException {
    return archive(
        FileServiceGrpc.getCollectArtifactsMethod(),
        request,
        CollectArtifactsResponse::getData,
        part -> part.hasEnd() ? Optional.of(part.getEnd()) : Optional.empty(),
        target);
  }

  /** Writes an execution's artifacts and returns how many files are in the archive. */
  int artifacts(ReadArtifactsRequest request, OutputStream target) throws IOException {
    return archive(
        ExecutionServiceGrpc.getReadArtifactsMethod(),
        request,
        ReadArtifactsResponse::getData,
        part -> part.hasEnd() ? Optional.of(part.getEnd()) : Optional.empty(),
        target);
  }

  private <Q, R> int archive(
      MethodDescriptor<Q, R> method,
      Q request,
      Function<R, ByteString> data,
      Function<R, Optional<ArchiveEnd>> end,
      OutputStream target)
      throws IOException {
    try (MessageReader<R> parts = MessageReader.open(streams, method, request)) {
      MessageDigest digest = Hashes.sha256();
      long received = 0;
      for (Optional<R> part = parts.next(); part.isPresent(); part = parts.next()) {
        Optional<ArchiveEnd> whole = end.apply(part.get());
        if (whole.isPresent()) {
          check(whole.get().getSentBytes(), whole.get().getSha256(), received, digest);
          return whole.get().getFileCount();
        }
        received += take(data.apply(part.get()), digest, target);
      }
      throw broken("The server ended the stream before the archive's end.");
    }
  }

  private static int take(ByteString data, MessageDigest digest, OutputStream target)
      throws IOException {
    data.asReadOnlyByteBufferList().forEach(digest::update);
    data.writeTo(target);
    return data.size();
  }

  private static void check(long sent, ByteString sha256, long received, MessageDigest digest) {
    if (sent != received || !sha256.equals(ByteString.copyFrom(digest.digest()))) {
      throw broken("The bytes that came are not those that the server sent.");
    }
  }

  /**
   * Returns how many bytes will come. A link has no size of its own, and what a kernel makes up as
   * it is read says zero.
   */
  private static OptionalLong size(FileInfo file, ReadFileRequest request) {
    if (file.getType() != FileType.FILE_TYPE_FILE || file.getSizeBytes() == 0) {
      return OptionalLong.empty();
    }
    long behind = Math.max(0, file.getSizeBytes() - request.getOffset());
    return OptionalLong.of(
        request.getLength() == 0 ? behind : Math.min(behind, request.getLength()));
  }

  private static SandkeeperException broken(String text) {
    return SandkeeperException.local(Status.Code.DATA_LOSS, text, null);
  }
}
