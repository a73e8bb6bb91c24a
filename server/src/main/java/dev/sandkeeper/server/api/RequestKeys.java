package dev.sandkeeper.server.api;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.Message;
import dev.sandkeeper.server.base.RequestKey;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.UUID;

/** Request ids, and the hashes that tell a repetition from another request. */
final class RequestKeys {
  private RequestKeys() {}

  /**
   * Returns the key of a request.
   *
   * @param requestId as given, checked; empty when the caller gave none, and gets a fresh one
   * @param content the request without its id
   */
  static RequestKey of(String requestId, Message content) {
    UUID id = requestId.isEmpty() ? UUID.randomUUID() : UUID.fromString(requestId);
    return new RequestKey(id, hash(content));
  }

  /** Returns the key of something that cannot be repeated. */
  static RequestKey fresh() {
    return new RequestKey(UUID.randomUUID(), new byte[32]);
  }

  private static byte[] hash(Message content) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      CodedOutputStream out =
          CodedOutputStream.newInstance(
              new DigestOutputStream(OutputStream.nullOutputStream(), digest));
      out.useDeterministicSerialization(); // maps have no order of their own
      content.writeTo(out);
      out.flush();
      return digest.digest();
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every JDK has it
    } catch (IOException e) {
      throw new UncheckedIOException(e); // nothing is written anywhere
    }
  }
}
