package dev.sandkeeper.server.execution;

/**
 * The bounds of file transfers.
 *
 * @param maxUploadBytes the largest file that may be written
 * @param maxDownloadBytes the most bytes that one read may return
 * @param maxEntries the most entries that a listing may have
 */
public record FileLimits(long maxUploadBytes, long maxDownloadBytes, int maxEntries) {}
