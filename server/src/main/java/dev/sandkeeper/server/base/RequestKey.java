package dev.sandkeeper.server.base;

import java.util.Arrays;
import java.util.UUID;

/**
 * What makes a request repeatable: its id, and a hash by which a repetition is told from another
 * request under the same id.
 *
 * @param requestId made by the client, unique per tenant
 * @param contentHash SHA-256 of the request without its id, 32 bytes; not to be changed
 */
public record RequestKey(UUID requestId, byte[] contentHash) {
  /** Checks the hash's length. */
  public RequestKey {
    if (contentHash.length != 32) {
      throw new IllegalArgumentException(
          "contentHash: " + contentHash.length + " bytes (expected: 32)");
    }
  }

  /**
   * Refuses a repetition with other content.
   *
   * @param kept the hash kept with the first request
   * @throws SandkeeperException with {@link ErrorReason#REQUEST_ID_REUSED}
   */
  public void requireSame(byte[] kept) {
    if (!Arrays.equals(contentHash, kept)) {
      throw reused();
    }
  }

  /** Makes the refusal of a request id that was used for something else. */
  public SandkeeperException reused() {
    return SandkeeperException.of(
            ErrorReason.REQUEST_ID_REUSED,
            "The request id was used for another request; take a new one.")
        .with("requestId", requestId);
  }

  /** Makes the refusal of a request id whose request is answered for no more. */
  public SandkeeperException expired() {
    return SandkeeperException.of(
            ErrorReason.REQUEST_ID_EXPIRED,
            "The request id was used before, for something whose cost record is no longer kept; take a new one.")
        .with("requestId", requestId);
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof RequestKey key
        && requestId.equals(key.requestId)
        && Arrays.equals(contentHash, key.contentHash);
  }

  @Override
  public int hashCode() {
    return requestId.hashCode();
  }
}
