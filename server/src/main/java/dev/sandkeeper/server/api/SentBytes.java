package dev.sandkeeper.server.api;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.sandkeeper.server.execution.Execution;
import dev.sandkeeper.server.execution.OutputHash;
import dev.sandkeeper.v1.ArchiveEnd;
import dev.sandkeeper.v1.ReadFileEnd;
import java.nio.ByteBuffer;

/** The bytes that a stream sends, hashed on their way. Belongs to one thread. */
final class SentBytes {
  private final OutputHash hash = new OutputHash();

  /** Copies the next bytes, as the buffer they come in is good for this call only. */
  ByteString add(ByteBuffer chunk) {
    byte[] data = new byte[chunk.remaining()];
    chunk.get(data);
    hash.update(ByteBuffer.wrap(data));
    return UnsafeByteOperations.unsafeWrap(data);
  }

  /** Says what they were, those of an archive. */
  ArchiveEnd endOfArchive(int fileCount) {
    Execution.OutputDigest sent = hash.finish();
    return ArchiveEnd.newBuilder()
        .setSha256(ByteString.copyFrom(sent.sha256()))
        .setSentBytes(sent.bytes())
        .setFileCount(fileCount)
        .build();
  }

  /** Says what they were, those of a file. */
  ReadFileEnd endOfFile() {
    Execution.OutputDigest sent = hash.finish();
    return ReadFileEnd.newBuilder()
        .setSha256(ByteString.copyFrom(sent.sha256()))
        .setSentBytes(sent.bytes())
        .build();
  }
}
