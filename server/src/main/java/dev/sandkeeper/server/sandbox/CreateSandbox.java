package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.RequestKey;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.policy.CommandPolicy;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * What a caller asks for.
 *
 * @param requestKey what makes the request repeatable
 * @param template the template's name
 * @param cpuCores cores; empty for the template's default
 * @param memoryMib memory in MiB; empty for the template's default
 * @param timeout how long it may live; empty for the template's default
 * @param idleTimeout how long it may be idle; empty for all its life
 * @param onExhaustion what happens when a limit pays for no more running time
 * @param attribution for whom it runs
 * @param metadata the caller's labels
 * @param environment variables of everything that runs in it; not kept
 * @param network what it may connect to; empty for the template's default
 * @param commandPolicy which commands and code may be run in it, beside its template's
 * @param run what it is for, which the policies must allow; empty for anything
 */
public record CreateSandbox(
    RequestKey requestKey,
    String template,
    OptionalInt cpuCores,
    OptionalInt memoryMib,
    Optional<Duration> timeout,
    Optional<Duration> idleTimeout,
    ExhaustionPolicy onExhaustion,
    Attribution attribution,
    Map<String, String> metadata,
    Map<String, String> environment,
    Optional<NetworkPolicy> network,
    CommandPolicy commandPolicy,
    Optional<ExecutionSpec.Run> run) {}
