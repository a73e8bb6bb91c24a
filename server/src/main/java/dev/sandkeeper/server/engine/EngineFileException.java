package dev.sandkeeper.server.engine;

/** Something is wrong with a path inside a sandbox. */
public final class EngineFileException extends RuntimeException {

  private static final long serialVersionUID = 1L;

  private final Kind kind;
  private final String path;

  /**
   * Creates an exception.
   *
   * @param kind what is wrong
   * @param path the path as it was given
   */
  public EngineFileException(Kind kind, String path) {
    super(kind + ": " + path);
    this.kind = kind;
    this.path = path;
  }

  /** Returns what is wrong. */
  public Kind kind() {
    return kind;
  }

  /** Returns the path as it was given. */
  public String path() {
    return path;
  }

  /** What is wrong with a path. */
  public enum Kind {
    NOT_FOUND,
    NOT_A_DIRECTORY,
    /** A folder where a file is needed. */
    IS_A_DIRECTORY,
    /** A folder that still holds something and would have to go. */
    NOT_EMPTY,
    /** Something is there already, and is not to be replaced. */
    EXISTS,
    /** A move of something onto itself or below itself. */
    INTO_ITSELF,
    PERMISSION,
    NO_SPACE,
    /** More bytes or entries than the call allows. */
    TOO_LARGE,
    /** As many broken uploads wait to be continued as may. */
    TOO_MANY_UPLOADS,
    /** Not an archive, or one with an entry, named by the path, that is not taken. */
    BAD_ARCHIVE,
    /** The upload is being continued by somebody else. */
    UPLOAD_BUSY,
    /** Less of the upload has come than it is to go on behind. */
    UPLOAD_OFFSET,
    /** More folders are to be watched than may be, or than the machine's kernel has watches for. */
    TOO_MANY_WATCHES,
    /** Empty, too long, with NUL or a {@code ..} component. */
    INVALID_PATH,
    /**
     * Any other refusal of the sandbox's file system, for example a pipe where a file is needed.
     */
    OTHER
  }
}
