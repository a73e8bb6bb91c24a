package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.ExecutionSpec;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;

/**
 * What a caller asks to run.
 *
 * @param sandboxId where
 * @param requestKey what makes the request repeatable
 * @param run a command or a piece of code
 * @param workingDirectory relative to the home; empty for the home
 * @param environment variables on top of the sandbox's
 * @param stdin what it reads; not to be changed
 * @param deadline how long it may run; empty for the default
 * @param attribution for whom; may name nobody whom the sandbox does not name
 */
public record ExecutionRequest(
    SandboxId sandboxId,
    RequestKey requestKey,
    ExecutionSpec.Run run,
    Optional<String> workingDirectory,
    Map<String, String> environment,
    byte[] stdin,
    Optional<Duration> deadline,
    Attribution attribution) {}
