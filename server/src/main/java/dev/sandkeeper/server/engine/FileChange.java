package dev.sandkeeper.server.engine;

/**
 * Something that happened in a watched folder.
 *
 * @param type what happened
 * @param path to what, absolute; of a {@code RENAME} its new one, of an {@code OVERFLOW} the
 *     folder's own
 * @param fromPath of a {@code RENAME} the path before; else empty
 */
public record FileChange(Type type, String path, String fromPath) {
  /** What happened. */
  public enum Type {
    /** It was made, or moved here from elsewhere. */
    CREATE,
    /** Its content changed. */
    WRITE,
    /** It was removed, or moved elsewhere. */
    REMOVE,
    /** It has another name, or is in another folder that is watched. */
    RENAME,
    /** Its mode, owner, times or other attributes changed. */
    CHMOD,
    /** Changes came faster than they were taken, and some are lost. */
    OVERFLOW
  }
}
