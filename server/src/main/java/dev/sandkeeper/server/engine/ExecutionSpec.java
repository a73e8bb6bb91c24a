package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.base.ExecutionId;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What to run in a sandbox.
 *
 * @param id the execution
 * @param run a command or a piece of code
 * @param workingDirectory a folder inside the sandbox, relative to the user's home unless absolute;
 *     empty is the home itself
 * @param environment variables on top of the sandbox's
 * @param stdio its standard streams
 * @param deadline the whole process tree is ended after this time, greater than zero
 */
public record ExecutionSpec(
    ExecutionId id,
    Run run,
    Optional<String> workingDirectory,
    Map<String, String> environment,
    Stdio stdio,
    Duration deadline) {

  public ExecutionSpec {
    workingDirectory.ifPresent(folder -> Checks.noNul("workingDirectory", folder));
    environment = Checks.environment(environment);
    Checks.positive("deadline", deadline);
  }

  /** What is run. */
  public sealed interface Run {}

  /**
   * A program with its arguments.
   *
   * @param argv program, found by PATH, and arguments; not empty, no NUL
   */
  public record Command(List<String> argv) implements Run {
    public Command {
      argv = List.copyOf(argv);
      if (argv.isEmpty() || argv.getFirst().isEmpty()) {
        throw new IllegalArgumentException("argv: " + argv + " (expected: a program first)");
      }
      argv.forEach(argument -> Checks.noNul("argv", argument));
    }
  }

  /**
   * A piece of source code.
   *
   * @param language its language
   * @param source the code, any size the caller allows, not empty
   * @param contextId the interpreter whose variables it shares, of the same language; empty is the
   *     sandbox's default one, and for Bash a process of its own
   */
  public record Code(Language language, String source, Optional<ContextId> contextId)
      implements Run {
    public Code {
      if (source.isEmpty()) {
        throw new IllegalArgumentException("source is empty (expected: some code)");
      }
    }
  }

  /** Languages an engine runs. */
  public enum Language {
    PYTHON,
    BASH,
    JAVASCRIPT,
    TYPESCRIPT,
    JAVA,
    R
  }
}
