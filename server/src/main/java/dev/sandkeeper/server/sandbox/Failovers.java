package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.telemetry.EngineInstruments;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

/** Counts new sandboxes that left an engine for the next one, since this server started. */
final class Failovers {
  private final EngineInstruments instruments;
  private final Map<String, LongAdder> byEngine = new ConcurrentHashMap<>();

  Failovers(EngineInstruments instruments) {
    this.instruments = instruments;
  }

  /** Counts one, for a reason as metrics name it. */
  void count(String from, String to, String reason) {
    byEngine.computeIfAbsent(from, _ -> new LongAdder()).increment();
    instruments.failedOver(from, to, reason);
  }

  /** Returns how many left that engine. */
  long from(String engine) {
    LongAdder count = byEngine.get(engine);
    return count == null ? 0 : count.sum();
  }
}
