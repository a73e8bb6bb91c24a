package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.SandboxId;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** Where the sandboxes of one or several {@link FakeEngine}s are. */
public final class FakeCloud {
  private final Map<SandboxId, FakeSandbox> sandboxes = new ConcurrentHashMap<>();
  private final AtomicInteger mostRunning = new AtomicInteger();
  private volatile Runnable whilePausing = () -> {};
  private volatile Runnable whileRenewing = () -> {};
  private volatile Runnable whileEnding = () -> {};

  /** Returns the sandboxes that there are, running or paused. */
  public Map<SandboxId, FakeSandbox> sandboxes() {
    return sandboxes;
  }

  /** Returns how many ran at once at most. */
  public int mostRunning() {
    return mostRunning.get();
  }

  /** Has it do something before it pauses a sandbox, such as to wait. */
  public void whilePausing(Runnable action) {
    whilePausing = action;
  }

  /** Has it do something before it renews a sandbox, such as to fail. */
  public void whileRenewing(Runnable action) {
    whileRenewing = action;
  }

  /** Has it do something before it ends a sandbox, such as to wait. */
  public void whileEnding(Runnable action) {
    whileEnding = action;
  }

  void pausing() {
    whilePausing.run();
  }

  void renewing() {
    whileRenewing.run();
  }

  void ending() {
    whileEnding.run();
  }

  /** Looks how many run now. */
  void look() {
    int running = (int) sandboxes.values().stream().filter(sandbox -> !sandbox.paused()).count();
    mostRunning.accumulateAndGet(running, Math::max);
  }
}
