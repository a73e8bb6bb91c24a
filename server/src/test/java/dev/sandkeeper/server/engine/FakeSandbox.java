package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.SandboxId;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/** A sandbox of a {@link FakeEngine}: it lives, and nothing can be run in it. */
public final class FakeSandbox implements EngineSandbox {
  private final SandboxSpec spec;
  private final FakeCloud cloud;
  private volatile boolean paused;

  FakeSandbox(SandboxSpec spec, FakeCloud cloud) {
    this.spec = spec;
    this.cloud = cloud;
  }

  /** Returns what it was made from. */
  public SandboxSpec spec() {
    return spec;
  }

  @Override
  public SandboxId id() {
    return spec.id();
  }

  @Override
  public long generation() {
    return spec.generation();
  }

  /** Returns what the cloud of its engine calls a sandbox. */
  public static String remoteId(SandboxId id) {
    return "cloud-" + id;
  }

  @Override
  public Optional<String> remoteId() {
    return Optional.of(remoteId(id()));
  }

  @Override
  public Set<ExecutionSpec.Language> languages() {
    return Set.of();
  }

  @Override
  public EngineExecution start(ExecutionSpec execution, ExecutionListener listener) {
    throw new EngineException(EngineException.Kind.FAILED, "nothing can be run here");
  }

  @Override
  public List<EngineExecution> takeUp(List<RunningExecution> executions) {
    return List.of();
  }

  @Override
  public UsageReading usage() {
    return UsageReading.NOTHING;
  }

  @Override
  public void renew(Duration paid) {
    cloud.renewing();
  }

  @Override
  public UsageReading destroy(Duration grace) {
    cloud.ending();
    cloud.sandboxes().remove(id(), this);
    return UsageReading.NOTHING;
  }

  @Override
  public void onEnd(Consumer<SandboxEnd> callback) {}

  @Override
  public void openNetwork(Consumer<SocketChannel> connections) {}

  @Override
  public EngineContexts contexts() {
    throw new EngineException(EngineException.Kind.FAILED, "there are no contexts here");
  }

  @Override
  public EngineFiles files() {
    throw new EngineException(EngineException.Kind.FAILED, "there are no files here");
  }

  @Override
  public EngineConnection connect(int port) {
    throw new EngineException(EngineException.Kind.PORT_CLOSED, "nothing listens here");
  }

  @Override
  public UsageReading pause() {
    cloud.pausing();
    paused = true;
    return UsageReading.NOTHING;
  }

  @Override
  public void resume() {
    paused = false;
    cloud.look();
  }

  @Override
  public boolean paused() {
    return paused;
  }
}
