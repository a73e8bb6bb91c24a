package dev.sandkeeper.server.engine;

import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;

/**
 * What every engine does, whatever isolates its sandboxes. A subclass says on what it is tried, and
 * what of it does not hold there; that is tried too, so that the list stays true.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
public abstract class EngineContract
    implements CommandContract,
        ContextContract,
        FileContract,
        LifeContract,
        NetworkContract,
        PauseContract {

  private final Optional<String> runtime;
  private final Set<Difference> differences;
  private SandboxEngine engine;
  private EngineSandbox shared;

  /**
   * Says on what it is tried.
   *
   * @param runtime of the sandboxes; empty where the engine offers none by name
   * @param differences what does not hold there
   */
  protected EngineContract(Optional<String> runtime, Set<Difference> differences) {
    this.runtime = runtime;
    this.differences = Set.copyOf(differences);
  }

  /** Opens the engine: the first time over a new place, later over the same. */
  protected abstract SandboxEngine open() throws Exception;

  /** Removes the place; the engine is closed and nothing runs in it. */
  protected abstract void removePlace() throws Exception;

  @BeforeAll
  void begin() throws Exception {
    engine = open();
    shared = engine.create(spec(Duration.ofMinutes(10)));
  }

  @AfterEach
  void endOthers() {
    engine.list().stream()
        .map(EngineInstance::sandboxId)
        .filter(id -> !id.equals(shared.id()))
        .forEach(engine::destroy);
  }

  @AfterAll
  void end() throws Exception {
    engine.destroy(shared.id());
    engine.close();
    removePlace();
  }

  @Override
  public final SandboxEngine engine() {
    return engine;
  }

  @Override
  public final SandboxEngine reopen() throws Exception {
    engine.close();
    engine = open();
    shared = engine.adopt(shared.id(), shared.generation()).orElseThrow();
    return engine;
  }

  @Override
  public final EngineSandbox shared() {
    return shared;
  }

  @Override
  public SandboxSpec spec(Duration paid) {
    return Requests.spec(paid, runtime);
  }

  @Override
  public final boolean has(Difference difference) {
    return differences.contains(difference);
  }
}
