package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.SandboxId;

/**
 * Something an engine found running.
 *
 * @param sandboxId the id it was created with
 * @param generation the generation it was created with
 */
public record EngineInstance(SandboxId sandboxId, long generation) {}
