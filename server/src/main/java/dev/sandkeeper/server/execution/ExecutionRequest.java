package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.Stdio;
import dev.sandkeeper.server.secret.SecretReference;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * What a caller asks to run.
 *
 * @param sandboxId where
 * @param requestKey what makes the request repeatable
 * @param run a command or a piece of code
 * @param source the code that a command is made of, which policies are to judge in its place
 * @param workingDirectory relative to the home; empty for the home
 * @param environment variables on top of the sandbox's
 * @param secrets what it is given of the tenant's secrets; each variable once, none of them in the
 *     environment
 * @param stdio its standard streams
 * @param inputs files to put in place before it starts, by path; not to be changed
 * @param artifacts the files to keep when it is over
 * @param deadline how long it may run; empty for the default
 * @param journalBytes how many bytes of its events are kept; empty for the default
 * @param keep for how long after its end they are kept; empty for the default
 * @param attribution for whom; may name nobody whom the sandbox does not name
 */
public record ExecutionRequest(
    SandboxId sandboxId,
    RequestKey requestKey,
    ExecutionSpec.Run run,
    Optional<ExecutionSpec.Code> source,
    Optional<String> workingDirectory,
    Map<String, String> environment,
    List<SecretReference> secrets,
    Stdio stdio,
    Map<String, byte[]> inputs,
    Optional<ArtifactSelection> artifacts,
    Optional<Duration> deadline,
    OptionalLong journalBytes,
    Optional<Duration> keep,
    Attribution attribution) {

  /** Returns the same with another input. */
  ExecutionRequest withStdin(byte[] stdin) {
    return new ExecutionRequest(
        sandboxId,
        requestKey,
        run,
        source,
        workingDirectory,
        environment,
        secrets,
        Stdio.of(stdin),
        inputs,
        artifacts,
        deadline,
        journalBytes,
        keep,
        attribution);
  }

  /** Returns what policies are to judge. */
  ExecutionSpec.Run judged() {
    return source.<ExecutionSpec.Run>map(code -> code).orElse(run);
  }
}
