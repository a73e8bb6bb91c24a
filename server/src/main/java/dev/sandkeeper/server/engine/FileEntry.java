package dev.sandkeeper.server.engine;

/**
 * A file of a listing.
 *
 * @param relativePath where it is below the folder that was listed
 * @param file what it is
 */
public record FileEntry(String relativePath, FileInfo file) {}
