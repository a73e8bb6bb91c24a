package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.SandboxId;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Supplier;

/** The sandboxes that this server runs, and those it is just starting. */
final class LiveSandboxes {
  private final Map<SandboxId, LiveSandbox> live = new ConcurrentHashMap<>();
  private final Map<SandboxId, CompletableFuture<Sandbox>> starting = new ConcurrentHashMap<>();

  Optional<LiveSandbox> find(SandboxId sandboxId) {
    return Optional.ofNullable(live.get(sandboxId));
  }

  Collection<LiveSandbox> all() {
    return List.copyOf(live.values());
  }

  void add(LiveSandbox sandbox) {
    live.put(sandbox.id(), sandbox);
  }

  void remove(LiveSandbox sandbox) {
    live.remove(sandbox.id(), sandbox);
  }

  /** Says whether the sandbox is one of this server's, running or starting. */
  boolean knows(SandboxId sandboxId) {
    return live.containsKey(sandboxId) || starting.containsKey(sandboxId);
  }

  /** Says whether the sandbox is one of this server's in that engine, or is starting in any. */
  boolean knows(SandboxId sandboxId, String engine) {
    LiveSandbox found = live.get(sandboxId);
    return (found != null && found.sandbox().engine().equals(engine))
        || starting.containsKey(sandboxId);
  }

  /** Starts a sandbox, so that others who ask for it meanwhile can wait for what comes of it. */
  Sandbox whileStarting(SandboxId sandboxId, Supplier<Sandbox> start) {
    CompletableFuture<Sandbox> outcome = new CompletableFuture<>();
    starting.put(sandboxId, outcome);
    try {
      Sandbox sandbox = start.get();
      outcome.complete(sandbox);
      return sandbox;
    } catch (RuntimeException e) {
      outcome.completeExceptionally(e);
      throw e;
    } finally {
      starting.remove(sandboxId);
    }
  }

  /** Waits while another call starts the sandbox; fails as that call fails. */
  void awaitStart(SandboxId sandboxId) {
    CompletableFuture<Sandbox> outcome = starting.get(sandboxId);
    if (outcome != null) {
      try {
        outcome.join();
      } catch (CompletionException e) {
        throw e.getCause() instanceof RuntimeException cause ? cause : e;
      }
    }
  }
}
