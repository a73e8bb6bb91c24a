package dev.sandkeeper.server.sandbox;

import java.util.Optional;
import java.util.OptionalInt;

/**
 * How an engine would run a template's sandbox.
 *
 * @param engine the engine's name
 * @param runtime what isolates the sandbox, by the engine's name for it; empty where it offers none
 * @param engineTemplate what the engine's own template is called; empty for the engine's default
 * @param capacity how many sandboxes may run in the engine; empty for no bound
 */
record EngineChoice(
    String engine,
    Optional<String> runtime,
    Optional<String> engineTemplate,
    OptionalInt capacity) {}
