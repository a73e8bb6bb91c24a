package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.engine.EngineContexts;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * The contexts of a sandbox. Which there are stands in a file of the sandbox's folder, for the
 * engine object that comes next; their processes are the agent's.
 */
final class GuestContexts implements EngineContexts {

  private static final String SEPARATOR = " ";

  private final Path file;
  private final AgentLink link;
  private final Runnable requireAwake;
  private final List<EngineContext> defaults;

  // Guarded by this.
  /** Those that were created, oldest first. */
  private final List<EngineContext> created;

  /** How often those were restarted that were. */
  private final Map<ContextId, Integer> restarts = new HashMap<>();

  /**
   * Reads which there are.
   *
   * @param file where they stand; not there when none was created
   * @param requireAwake throws unless the sandbox runs
   * @param languages the sandbox has interpreters for
   */
  GuestContexts(Path file, AgentLink link, Runnable requireAwake, Set<Language> languages) {
    this.file = file;
    this.link = link;
    this.requireAwake = requireAwake;
    defaults =
        languages.stream()
            .filter(language -> language != Language.BASH)
            .sorted()
            .map(EngineContext::byDefault)
            .toList();
    created = new ArrayList<>(read(file));
  }

  @Override
  public synchronized Creation create(EngineContext context, int most) {
    requireAwake.run();
    if (find(context.id()).isPresent()) {
      return Creation.EXISTS;
    }
    if (created.size() >= most) {
      return Creation.TOO_MANY;
    }
    List<EngineContext> more = new ArrayList<>(created);
    more.add(context);
    write(more);
    created.add(context);
    return Creation.CREATED;
  }

  @Override
  public synchronized List<EngineContext> list() {
    List<EngineContext> all = new ArrayList<>(defaults);
    all.addAll(created);
    return List.copyOf(all);
  }

  @Override
  public synchronized void interrupt(ContextId id) {
    requireAwake.run();
    find(id)
        .ifPresent(context -> {
          Target target = target(context);
          // A cell that comes after this goes by way of process 1 as well, so not before it.
          link.dismissIdle(target.waiting());
          tell(Frame.INTERRUPT, target);
        });
  }

  @Override
  public synchronized void restart(ContextId id) {
    requireAwake.run();
    find(id)
        .ifPresent(context -> {
          Target before = target(context);
          restarts.merge(id, 1, Integer::sum);
          link.dismissIdle(before.waiting());
          tell(Frame.RESTART, before);
        });
  }

  @Override
  public synchronized boolean delete(ContextId id) {
    requireAwake.run();
    Optional<EngineContext> context = find(id).filter(found -> !found.isDefault());
    context.ifPresent(found -> {
      List<EngineContext> fewer = new ArrayList<>(created);
      fewer.remove(found);
      write(fewer);
      Target before = target(found);
      created.remove(found);
      restarts.remove(id);
      link.dismissIdle(before.waiting());
      tell(Frame.DELETE, before);
    });
    return context.isPresent();
  }

  /** Returns what code of a language runs in, by a context's id. */
  synchronized Optional<Target> target(ContextId id, Language language) {
    return find(id).filter(found -> found.language() == language).map(this::target);
  }

  /** A context created later by the same id has another name. */
  private Target target(EngineContext context) {
    String name = context.language().name().toLowerCase(Locale.ROOT) + "/" + context.id();
    return new Target(
        context.createTime().map(time -> name + "/" + time).orElse(name),
        restarts.getOrDefault(context.id(), 0),
        context.workingDirectory());
  }

  /**
   * Has the agent run something in a target, unless its context was deleted meanwhile: an order
   * that came behind the deletion would begin it again.
   *
   * @return whether it was sent
   */
  synchronized boolean open(Target target, String name) {
    boolean there =
        target.equals(Target.COMMAND)
            || list().stream().anyMatch(context -> target(context).name().equals(target.name()));
    if (there) {
      link.order(name, target.name());
    }
    return there;
  }

  /** Drops the connection that an execution has left behind, if what it ran in is no more. */
  synchronized void ended(Target target) {
    if (!target.equals(Target.COMMAND)
        && list().stream().noneMatch(context -> target(context).equals(target))) {
      link.dismissIdle(target.waiting());
    }
  }

  private void tell(int order, Target target) {
    link.send(order, 0, new Fields().add(target.name()));
  }

  private void write(List<EngineContext> contexts) {
    List<String> lines = contexts.stream().map(GuestContexts::line).toList();
    Path next = file.resolveSibling(file.getFileName() + ".next");
    try {
      Files.write(next, lines);
      Files.move(next, file, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox's contexts cannot be kept in " + file, e);
    }
  }

  private static List<EngineContext> read(Path file) {
    try {
      return Files.exists(file)
          ? Files.readAllLines(file).stream().map(GuestContexts::context).toList()
          : List.of();
    } catch (IOException e) {
      throw new EngineException(
          EngineException.Kind.FAILED, "the sandbox's contexts cannot be read from " + file, e);
    }
  }

  private static String line(EngineContext context) {
    byte[] folder = FileNames.encode(context.workingDirectory().orElse(""));
    return String.join(
        SEPARATOR,
        context.id().value(),
        context.language().name(),
        context.createTime().orElseThrow().toString(),
        Base64.getEncoder().encodeToString(folder));
  }

  private static EngineContext context(String line) {
    String[] parts = line.split(SEPARATOR, -1);
    String folder = FileNames.decode(Base64.getDecoder().decode(parts[3]));
    return new EngineContext(
        new ContextId(parts[0]),
        Language.valueOf(parts[1]),
        Optional.of(folder).filter(given -> !given.isEmpty()),
        Optional.of(Instant.parse(parts[2])));
  }
}
