package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.SandboxId;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What an engine needs to start a sandbox.
 *
 * @param id the sandbox
 * @param generation tells two lives of one id apart; given back by {@link SandboxEngine#list}
 * @param runtime what isolates it: one of {@link SandboxEngine#runtimes}; empty for the first
 * @param engineTemplate what the engine's own template is called that it is made from; empty for
 *     the engine's default. Only for an engine that {@linkplain SandboxEngine#hasTemplates has
 *     them}
 * @param cpuCores processor time per second, in cores, greater than zero
 * @param memoryMib the most memory, in MiB, greater than zero
 * @param diskMib the most bytes of files, in MiB, greater than zero
 * @param maxProcesses the most processes and threads of user code at once, greater than zero
 * @param environment variables of every execution; names are neither empty nor hold {@code =}
 * @param imports modules that Python contexts are to find loaded, best first; one that is not
 *     there, or cannot be loaded ahead, is left out
 * @param network whether its programs are led to {@link EngineSandbox#openNetwork}; without, they
 *     find no way out
 * @param paid the sandbox ends itself after this time unless renewed, greater than zero
 */
public record SandboxSpec(
    SandboxId id,
    long generation,
    Optional<String> runtime,
    Optional<String> engineTemplate,
    int cpuCores,
    int memoryMib,
    int diskMib,
    int maxProcesses,
    Map<String, String> environment,
    List<String> imports,
    boolean network,
    Duration paid) {

  public SandboxSpec {
    Checks.positive("cpuCores", cpuCores);
    Checks.positive("memoryMib", memoryMib);
    Checks.positive("diskMib", diskMib);
    Checks.positive("maxProcesses", maxProcesses);
    environment = Checks.environment(environment);
    imports = List.copyOf(imports);
    Checks.positive("paid", paid);
  }

  /** Returns the most memory, in bytes. */
  public long memoryBytes() {
    return (long) memoryMib << 20;
  }
}
