package dev.sandkeeper.server.engine;

import java.nio.ByteBuffer;
import java.util.Map;

/**
 * Is told what an execution does. Called on one thread per execution, in order, and ends with
 * exactly one {@link #finished}.
 */
public interface ExecutionListener {

  /**
   * The program runs.
   *
   * @param pid its process id inside the sandbox
   */
  void started(int pid);

  /**
   * The program wrote. May block: that is the back-pressure, which in the end blocks the program.
   *
   * @param kind the stream
   * @param bytes not empty; valid during the call only
   */
  void output(OutputStreamKind kind, ByteBuffer bytes);

  /**
   * Code came to a value.
   *
   * @param mimeData the value by media type, for example {@code text/plain}
   */
  void result(Map<String, byte[]> mimeData);

  /**
   * Code raised an error. The execution goes on to {@link #finished}.
   *
   * @param error what was raised
   */
  void error(CodeError error);

  /**
   * The execution is over; nothing is called after this.
   *
   * @param end how
   */
  void finished(ExecutionEnd end);
}
