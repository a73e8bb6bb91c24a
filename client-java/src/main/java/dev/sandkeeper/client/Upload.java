package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc.FileServiceBlockingV2Stub;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.Status;
import io.grpc.stub.BlockingClientCall;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Sends a file into a sandbox. */
final class Upload {
  private static final int PART_BYTES = 256 * 1024;

  /** How much may wait to be sent, so that reading the source and sending overlap. */
  private static final int UNSENT_BYTES = 4 * PART_BYTES;

  private final Streams streams;
  private final FileServiceBlockingV2Stub stub;
  private final TransferListener listener;
  private final OptionalLong size;

  /**
   * Makes an upload.
   *
   * @param size how many bytes it will have, for the listener
   */
  Upload(
      Streams streams,
      FileServiceBlockingV2Stub stub,
      TransferListener listener,
      OptionalLong size) {
    this.streams = streams;
    this.stub = stub;
    this.listener = listener;
    this.size = size;
  }

  /** Sends the source to its end and returns the file, or directory, that was written. */
  FileInfo send(InputStream source, WriteFileTarget target) throws IOException {
    BlockingClientCall<WriteFileRequest, WriteFileResponse> call = open();
    boolean ended = false;
    try {
      MessageDigest digest = Hashes.sha256();
      if (write(call, WriteFileRequest.newBuilder().setTarget(target).build())
          && sendParts(call, source, digest)) {
        call.halfClose();
      }
      // A server that refused closed the call early; reading the answer then throws its reason.
      WriteFileResponse answer = read(call);
      if (answer == null) {
        throw broken("The server ended the stream without an answer.");
      }
      ended = read(call) == null;
      if (!answer.getSha256().equals(ByteString.copyFrom(digest.digest()))) {
        throw broken("The bytes that the server wrote are not those that were sent.");
      }
      return answer.getFile();
    } finally {
      if (!ended) {
        call.cancel("upload given up", null); // the server then drops what came
      }
    }
  }

  private BlockingClientCall<WriteFileRequest, WriteFileResponse> open() {
    FileServiceBlockingV2Stub paced = stub.withOnReadyThreshold(UNSENT_BYTES);
    return streams
        .timeout()
        .map(t -> paced.withDeadlineAfter(t.toNanos(), TimeUnit.NANOSECONDS))
        .orElse(paced)
        .writeFile();
  }

  /** Sends all bytes; false when the server wants no more. */
  private boolean sendParts(
      BlockingClientCall<WriteFileRequest, ?> call, InputStream source, MessageDigest digest)
      throws IOException {
    long sent = 0;
    for (byte[] part = source.readNBytes(PART_BYTES);
        part.length > 0;
        part = source.readNBytes(PART_BYTES)) {
      digest.update(part);
      // The array is ours alone and never touched again, so it need not be copied.
      ByteString data = UnsafeByteOperations.unsafeWrap(part);
      if (!write(call, WriteFileRequest.newBuilder().setData(data).build())) {
        return false;
      }
      sent += part.length;
      listener.onProgress(sent, size);
    }
    return true;
  }

  private static boolean write(
      BlockingClientCall<WriteFileRequest, ?> call, WriteFileRequest request) {
    return Calls.attempt(call, c -> c.write(request));
  }

  private static @Nullable WriteFileResponse read(BlockingClientCall<?, WriteFileResponse> call) {
    return Calls.<BlockingClientCall<?, WriteFileResponse>, @Nullable WriteFileResponse>attempt(
        call, BlockingClientCall::read);
  }

  private static SandkeeperException broken(String text) {
    return SandkeeperException.local(Status.Code.DATA_LOSS, text, null);
  }
}
