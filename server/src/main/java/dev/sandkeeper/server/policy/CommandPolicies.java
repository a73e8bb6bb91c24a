package dev.sandkeeper.server.policy;

import dev.sandkeeper.server.engine.ExecutionSpec;
import java.util.Optional;

/**
 * The policies that hold for a sandbox; what one of them denies is denied.
 *
 * @param template its template's, as it was when the sandbox was created
 * @param sandbox its own
 */
public record CommandPolicies(CommandPolicy template, CommandPolicy sandbox) {
  /** Allows everything. */
  public static final CommandPolicies NONE =
      new CommandPolicies(CommandPolicy.NONE, CommandPolicy.NONE);

  /** Returns what is denied of a run, if anything. */
  public Optional<Denial> check(ExecutionSpec.Run run) {
    return template
        .check(run)
        .map(denial -> denial.within("template"))
        .or(() -> sandbox.check(run).map(denial -> denial.within("sandbox")));
  }
}
