package dev.sandkeeper.server.telemetry;

/** The keys under which log lines say what they belong to, as MDC or as key and value. */
public final class LogKeys {
  /** The trace that the call belongs to; put by {@link RpcTelemetry}. */
  public static final String TRACE_ID = "trace_id";

  /** The tenant who called, or who is billed. */
  public static final String TENANT = "tenant";

  /** The sandbox. */
  public static final String SANDBOX = "sandbox";

  /** The execution. */
  public static final String EXECUTION = "execution";

  private LogKeys() {}
}
