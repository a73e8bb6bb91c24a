package dev.sandkeeper.server.engine;

/** What an engine, or one of its runtimes, does not do as {@link EngineContract} has it. */
public enum Difference {

  /** A process that has left its session and its parent outlives the deadline of its execution. */
  DEADLINE_SPARES_DAEMONS,

  /** The disk is as large as the engine has it, whatever was asked for. */
  DISK_OF_ITS_OWN_SIZE,

  /**
   * A sandbox runs one execution at once for each 16 MiB of its memory, and refuses more; elsewhere
   * 96, whatever memory it has.
   */
  FEWER_AT_ONCE,

  /** The programs {@code ls DIRECTORY} and {@code stat} of Debian 12 fail. */
  LS_FAILS,

  /** Who asks for an address beyond the sandbox is told EHOSTUNREACH rather than ENETUNREACH. */
  NO_ROUTE_IS_NO_HOST,

  /** What is outside of the home lies on another file system. */
  SEVERAL_FILE_SYSTEMS,

  /** A program gets no terminal. */
  NO_TERMINAL,

  /** Processor time and memory include those of the sandbox's own kernel. */
  METERS_A_KERNEL_TOO,

  /** What a sandbox uses is not measured, only what its executions do. */
  NO_METERS,

  /** The most memory of an execution is not told. */
  NO_PEAK_MEMORY,

  /** That memory ran out is not told: what took it was ended by a signal. */
  OUT_OF_MEMORY_IS_A_SIGNAL,

  /** Where memory runs out the whole sandbox ends, not only what took it. */
  OUT_OF_MEMORY_ENDS_THE_SANDBOX,

  /** A pause breaks transfers of files. */
  PAUSE_BREAKS_TRANSFERS,
}
