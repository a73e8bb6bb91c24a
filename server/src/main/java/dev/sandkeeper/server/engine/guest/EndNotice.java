package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.engine.SandboxEnd;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/** Tells that a sandbox ended by itself, each who asks once, whenever he asks. */
public final class EndNotice {
  // Guarded by this.
  private Optional<SandboxEnd> end = Optional.empty();
  private List<Consumer<SandboxEnd>> callbacks = new ArrayList<>();

  /** As {@link dev.sandkeeper.server.engine.EngineSandbox#onEnd}. */
  public void onEnd(Consumer<SandboxEnd> callback) {
    SandboxEnd known;
    synchronized (this) {
      if (end.isEmpty()) {
        callbacks.add(callback);
        return;
      }
      known = end.get();
    }
    callback.accept(known);
  }

  /** Tells those that have asked, and those that will. */
  public void tell(SandboxEnd known) {
    List<Consumer<SandboxEnd>> waiting;
    synchronized (this) {
      end = Optional.of(known);
      waiting = callbacks;
      callbacks = new ArrayList<>();
    }
    waiting.forEach(callback -> callback.accept(known));
  }
}
