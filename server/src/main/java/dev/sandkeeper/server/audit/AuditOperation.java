package dev.sandkeeper.server.audit;

/** What was done. */
public enum AuditOperation {
  /** A sandbox was created, or refused. */
  CREATE("create"),
  /** Code was run. */
  RUN_CODE("run_code"),
  /** A command was run. */
  RUN_COMMAND("run_command"),
  /** An execution was sent a signal. */
  SIGNAL("signal"),
  /** An execution was sent input, or its input was closed. */
  INPUT("input"),
  /** A file or folder was read, listed or looked up. */
  FILE_READ("file_read"),
  /** A file was written, or a file or folder removed. */
  FILE_WRITE("file_write"),
  /** A context was created, interrupted, restarted or deleted. */
  CONTEXT_CHANGE("context_change"),
  /** A sandbox was paused. */
  PAUSE("pause"),
  /** A sandbox was resumed, or refused. */
  RESUME("resume"),
  /** A sandbox connected to a host, or was refused. */
  CONNECT("connect"),
  /** A sandbox was ended. */
  TERMINATE("terminate"),
  /** A URL of a port was made. */
  PORT_EXPOSE("port_expose"),
  /** A port was reached by a key or by a URL, for the first time in a while. */
  PORT_CONNECT("port_connect"),
  /** A limit was set or deleted. */
  QUOTA_CHANGE("quota_change"),
  /** A cost record was corrected, or a credit given. */
  COST_ADJUSTMENT("cost_adjustment"),
  /** A price was set. */
  PRICE_CHANGE("price_change"),
  /** An API key was made or revoked. */
  KEY_CHANGE("key_change"),
  /** A tenant was added. */
  TENANT_CHANGE("tenant_change"),
  /** A webhook was made, deleted or disabled. */
  WEBHOOK_CHANGE("webhook_change"),
  /** A template was made, changed or deleted. */
  TEMPLATE_CHANGE("template_change"),
  /** A secret was set or deleted. */
  SECRET_CHANGE("secret_change"),
  /** An execution was given secrets. */
  SECRET_USE("secret_use");

  private final String id;

  AuditOperation(String id) {
    this.id = id;
  }

  /**
   * Returns the operation of that name in the record.
   *
   * @throws IllegalArgumentException when there is none
   */
  public static AuditOperation of(String id) {
    for (AuditOperation operation : values()) {
      if (operation.id.equals(id)) {
        return operation;
      }
    }
    throw new IllegalArgumentException("operation: " + id + " (expected: one of the record's)");
  }

  /** Returns its name in the record. */
  public String id() {
    return id;
  }
}
