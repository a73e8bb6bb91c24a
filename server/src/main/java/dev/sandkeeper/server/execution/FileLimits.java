package dev.sandkeeper.server.execution;

import java.time.Duration;

/**
 * The bounds of file transfers.
 *
 * @param maxUploadBytes the largest file that may be written
 * @param maxDownloadBytes the most bytes that one read may return
 * @param maxEntries the most entries that a listing may have
 * @param maxWatches the most watches that a sandbox may have at once
 * @param maxPartialUploads the most uploads of a sandbox that may wait to be gone on with
 * @param keepPartialUploads for how long after its last byte an upload waits
 */
public record FileLimits(
    long maxUploadBytes,
    long maxDownloadBytes,
    int maxEntries,
    int maxWatches,
    int maxPartialUploads,
    Duration keepPartialUploads) {}
