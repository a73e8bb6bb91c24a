package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;

/** What the parts of {@link EngineContract} run on. */
public interface EngineUnderTest {

  Duration LONG = Duration.ofSeconds(30);

  int SIGINT = 2;
  int SIGKILL = 9;
  int SIGTERM = 15;

  /** Returns the engine as it is open now. */
  SandboxEngine engine();

  /** Lets go of the engine and opens it again, over the same place. */
  SandboxEngine reopen() throws Exception;

  /** Returns what a sandbox of a test's own begins with. */
  SandboxSpec spec(Duration paid);

  /** Returns a sandbox that all tests share. */
  EngineSandbox shared();

  /** Returns whether a difference is declared for what is tested. */
  boolean has(Difference difference);

  /** Makes a sandbox for one test alone, which ends with it. */
  default EngineSandbox create() {
    return create(Duration.ofMinutes(5));
  }

  /** Makes a sandbox for one test alone that is paid for so long. */
  default EngineSandbox create(Duration paid) {
    return engine().create(spec(paid));
  }

  /** Runs Bash code in the shared sandbox to its end. */
  default Recording bash(String source) throws Exception {
    return Requests.run(shared(), Requests.bash(source));
  }

  /** Runs Python code in the shared sandbox to its end. */
  default Recording python(String source) throws Exception {
    return Requests.run(shared(), Requests.python(source));
  }

  /** Returns how many processes of the shared sandbox have this command line. */
  default int processes(String line) throws Exception {
    // The first letter in brackets, so that the search does not find itself.
    String pattern = "[" + line.charAt(0) + "]" + line.substring(1);
    return Integer.parseInt(bash("pgrep -cxf '" + pattern + "' || true").stdout().strip());
  }

  /**
   * Asserts what holds wherever the difference is not declared. Where it is, it must not hold: a
   * list of differences is to tell the truth.
   */
  default void unless(Difference difference, ThrowingCallable assertion) throws Exception {
    try {
      assertion.call();
    } catch (AssertionError e) {
      if (has(difference)) {
        return;
      }
      throw e;
    } catch (Throwable e) {
      throw new AssertionError("could not be told", e);
    }
    assertThat(has(difference)).as("%s is still declared, and is no more", difference).isFalse();
  }
}
