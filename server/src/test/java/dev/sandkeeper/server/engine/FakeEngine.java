package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.SandboxId;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** An engine that does as it is told: its sandboxes live in a {@link FakeCloud}. */
public final class FakeEngine implements SandboxEngine {

  /** What can be asked of it. */
  public enum Call {
    CREATE,
    ADOPT,
    LIST,
    DESTROY,
    CHECK,
    END,
    RECORD
  }

  private final String name;
  private final FakeCloud cloud;
  private final Map<String, EngineRecord> records = new ConcurrentHashMap<>();
  private final Map<Call, RuntimeException> failures = new ConcurrentHashMap<>();
  private final Map<Call, AtomicInteger> calls = new EnumMap<>(Call.class);
  private volatile boolean losesAnswers;
  private volatile boolean keepsRecords;
  private volatile Callable<Void> whileCreating = () -> null;
  private volatile Callable<Void> whileAdopting = () -> null;

  /** Makes one with a place of its own. */
  public FakeEngine(String name) {
    this(name, new FakeCloud());
  }

  /** Makes one in a place. */
  public FakeEngine(String name, FakeCloud cloud) {
    this.name = name;
    this.cloud = cloud;
    for (Call call : Call.values()) {
      calls.put(call, new AtomicInteger());
    }
  }

  /** Returns its sandboxes. */
  public Map<SandboxId, FakeSandbox> sandboxes() {
    return cloud.sandboxes();
  }

  /** Fails a call from now on. */
  public void fail(Call call, EngineException.Kind kind) {
    fail(call, new EngineException(kind, call + " fails, as it is told"));
  }

  /** Fails a call from now on. */
  public void fail(Call call, RuntimeException failure) {
    failures.put(call, failure);
  }

  /** Starts sandboxes from now on, and says that it could not. */
  public void loseAnswers() {
    losesAnswers = true;
  }

  /** Has it do something before it starts a sandbox, such as to wait. */
  public void whileCreating(Callable<Void> action) {
    whileCreating = action;
  }

  /** Has it do something before it takes a sandbox up, such as to wait. */
  public void whileAdopting(Callable<Void> action) {
    whileAdopting = action;
  }

  /** Keeps records from now on; of what, it is told. */
  public void keepRecords() {
    keepsRecords = true;
  }

  /** Has a sandbox on record from now on. */
  public void record(SandboxId id, EngineRecord record) {
    records.put(FakeSandbox.remoteId(id), record);
  }

  /** Does again what it is asked for. */
  public void recover() {
    failures.clear();
    losesAnswers = false;
    whileCreating = () -> null;
    whileAdopting = () -> null;
  }

  /** Returns how often it was asked. */
  public int calls(Call call) {
    return counter(call).get();
  }

  private AtomicInteger counter(Call call) {
    return Objects.requireNonNull(calls.get(call));
  }

  private void count(Call call) {
    counter(call).incrementAndGet();
    RuntimeException failure = failures.get(call);
    if (failure != null) {
      throw failure;
    }
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public List<String> runtimes() {
    return List.of();
  }

  @Override
  public boolean hasTemplates() {
    return true;
  }

  @Override
  public boolean keepsRecords() {
    return keepsRecords;
  }

  @Override
  public Optional<EngineRecord> record(String remoteId) {
    count(Call.RECORD);
    return Optional.ofNullable(records.get(remoteId));
  }

  @Override
  public void check() {
    count(Call.CHECK);
  }

  @Override
  public EngineSandbox create(SandboxSpec spec) {
    count(Call.CREATE);
    run(whileCreating);
    FakeSandbox sandbox = new FakeSandbox(spec, cloud);
    sandboxes().put(spec.id(), sandbox);
    cloud.look();
    if (losesAnswers) {
      throw new EngineException(EngineException.Kind.UNAVAILABLE, "the answer was lost");
    }
    return sandbox;
  }

  private static void run(Callable<Void> action) {
    try {
      action.call();
    } catch (Exception e) {
      throw new EngineException(EngineException.Kind.FAILED, "it was not to be", e);
    }
  }

  @Override
  public Optional<EngineSandbox> adopt(SandboxId id, long generation) {
    count(Call.ADOPT);
    run(whileAdopting);
    return Optional.<EngineSandbox>ofNullable(sandboxes().get(id))
        .filter(sandbox -> sandbox.generation() == generation);
  }

  @Override
  public List<EngineInstance> list() {
    count(Call.LIST);
    return sandboxes().values().stream()
        .map(sandbox -> new EngineInstance(sandbox.id(), sandbox.generation()))
        .toList();
  }

  @Override
  public Optional<UsageReading> destroy(SandboxId id) {
    count(Call.DESTROY);
    return Optional.ofNullable(sandboxes().remove(id)).map(FakeSandbox::usage);
  }

  @Override
  public String place() {
    return name + ":cloud";
  }

  @Override
  public RemoteEnd end(SandboxId id, String place) {
    count(Call.END);
    return place.equals(place())
        ? new RemoteEnd.Gone(Optional.ofNullable(sandboxes().remove(id)).map(FakeSandbox::usage))
        : new RemoteEnd.OutOfReach();
  }

  @Override
  public void close() {}
}
