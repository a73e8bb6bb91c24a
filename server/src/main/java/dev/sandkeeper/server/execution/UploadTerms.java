package dev.sandkeeper.server.execution;

import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * What a caller says of an upload before its bytes.
 *
 * @param uploadId names an upload that can be gone on with when it breaks; null for one that cannot
 * @param offset how many bytes came before; 0 unless there is an upload id
 * @param sizeBytes how many bytes there must be in the end; null for any number
 * @param unpack whether the bytes are an archive, whose files are put into the folder of the path
 * @param sha256 what all bytes must hash to, 32 bytes; null for anything
 */
public record UploadTerms(
    @Nullable UUID uploadId,
    long offset,
    boolean unpack,
    @Nullable Long sizeBytes,
    byte @Nullable [] sha256) {
  /** Any bytes, and none of them stay when it breaks. */
  public static final UploadTerms NONE = new UploadTerms(null, 0, false, null, null);
}
