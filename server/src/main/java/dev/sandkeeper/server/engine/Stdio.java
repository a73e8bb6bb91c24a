package dev.sandkeeper.server.engine;

import java.util.Optional;

/**
 * What a program's standard streams are.
 *
 * @param stdin the bytes it reads first; not copied, so left alone after
 * @param keepsOpen whether more may be sent behind them; otherwise the end of file follows
 * @param terminal the terminal that they are; empty for pipes
 */
public record Stdio(byte[] stdin, boolean keepsOpen, Optional<Terminal> terminal) {

  /** Returns pipes, of which the program reads these bytes and then the end of file. */
  public static Stdio of(byte[] stdin) {
    return new Stdio(stdin, false, Optional.empty());
  }
}
