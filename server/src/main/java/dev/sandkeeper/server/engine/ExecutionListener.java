package dev.sandkeeper.server.engine;

import java.nio.ByteBuffer;
import java.util.Map;

/**
 * Is told what an execution does. Called on one thread per execution, in order, and ends with
 * exactly one {@link #finished}, unless the engine object is closed before: then a later one goes
 * on, see {@link EngineSandbox#takeUp}.
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
   * @param offset how many bytes the program wrote to the stream before
   * @param bytes not empty; valid during the call only
   */
  void output(OutputStreamKind kind, long offset, ByteBuffer bytes);

  /**
   * Returns how many of the calls that came last tell of what is not kept yet: the engine keeps it,
   * to tell it to a later listener again.
   */
  default int behind() {
    return 0;
  }

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
   * @param kept to be run once the end is written down and before anyone hears of it: only then
   *     does the engine forget the execution; not to be run when it could not be
   */
  void finished(ExecutionEnd end, Runnable kept);
}
