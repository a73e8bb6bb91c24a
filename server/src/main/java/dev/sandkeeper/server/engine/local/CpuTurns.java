package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.base.SandboxId;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.LongSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Lets sandboxes that use little processor time go before those that use much, so that a short
 * execution does not wait for its turn behind a neighbour that spins.
 *
 * <p>A sandbox that used more than three quarters of its fair share since the last look gives way
 * until it uses little. The others cannot take away what is due to it by that: together they ask
 * for less than their own shares. All that use much go alike, as do all that use little; one that
 * others of the machine leave nothing to uses little, and goes as all do.
 */
final class CpuTurns {

  private static final Logger logger = LoggerFactory.getLogger(CpuTurns.class);

  /** Who uses less of a processor asks for no share. */
  private static final double IDLE = 0.01;

  /** Which part of a fair share is much. */
  private static final double MUCH = 0.75;

  /** Which part of a fair share is little. */
  private static final double LITTLE = 0.05;

  private static final double NANOS_PER_MICRO = 1_000;

  private final int processors;
  private final LongSupplier nanoTime;
  private final Map<SandboxId, Look> looks = new HashMap<>();
  private long lastNanos;

  /**
   * What was seen of a sandbox.
   *
   * @param cpuMicros processor time used since it began
   * @param used since the look before, as a part of one processor
   * @param busy whether it was told to give way; empty when it was told nothing
   */
  private record Look(long cpuMicros, double used, Optional<Boolean> busy) {}

  /**
   * Begins without knowing any.
   *
   * @param processors those of the machine
   * @param nanoTime a monotonic clock
   */
  CpuTurns(int processors, LongSupplier nanoTime) {
    this.processors = processors;
    this.nanoTime = nanoTime;
    lastNanos = nanoTime.getAsLong();
  }

  /** Looks at all sandboxes that run, and says anew which of them give way. */
  void look(Map<SandboxId, Cgroup> cgroups) {
    long now = nanoTime.getAsLong();
    double micros = Math.max(1, (now - lastNanos) / NANOS_PER_MICRO);
    lastNanos = now;
    looks.keySet().retainAll(cgroups.keySet());
    cgroups.forEach((id, cgroup) ->
        cgroup
            .cpuMicros()
            .ifPresent(cpu -> {
              Look before = looks.getOrDefault(id, new Look(cpu, 0, Optional.empty()));
              looks.put(id, new Look(cpu, (cpu - before.cpuMicros) / micros, before.busy));
            }));
    long active = looks.values().stream().filter(look -> look.used > IDLE).count();
    // One processor is what a single process takes.
    double fair = Math.min(1, (double) processors / Math.max(1, active));
    looks.replaceAll((id, look) -> {
      Cgroup cgroup = Objects.requireNonNull(cgroups.get(id));
      double much = look.busy.orElse(false) ? LITTLE : MUCH;
      return turn(id, cgroup, look, look.used > much * fair || staysBusy(cgroup, look));
    });
  }

  /** One that is paused goes on as what it was. */
  private static boolean staysBusy(Cgroup cgroup, Look look) {
    return look.used == 0 && look.busy.orElse(false) && cgroup.freezer().isOn();
  }

  private static Look turn(SandboxId id, Cgroup cgroup, Look look, boolean busy) {
    if (look.busy.equals(Optional.of(busy))) {
      return look;
    }
    try {
      cgroup.giveWay(busy);
      return new Look(look.cpuMicros, look.used, Optional.of(busy));
    } catch (IOException e) {
      // As when it has just ended. Otherwise it is tried again.
      logger
          .atDebug()
          .addKeyValue("sandbox_id", id)
          .setCause(e)
          .log("Cannot say whether a sandbox gives way");
      return look;
    }
  }
}
