package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionStream;
import java.io.IOException;
import java.util.concurrent.atomic.AtomicLong;

/** Attaches to an execution that is over and of which 1 MiB of output is kept, to its last byte. */
final class Attach implements Row {
  private static final long BYTES = Zeros.MIB;

  @Override
  public Spec spec() {
    return new Spec("attach", "ms", Better.LOWER, Floor.p50(15), 2_000, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    String executionId;
    try (ExecutionStream stream = Zeros.in(place.sandbox(), BYTES)) {
      Outcomes.requireSuccess(stream.await());
      executionId = stream.executionId();
    }
    return Runs.of(() -> Timing.millis(() -> attach(place, executionId)));
  }

  private static void attach(Workplace place, String executionId) {
    AtomicLong received = new AtomicLong();
    try (ExecutionStream stream = place.client().attach(executionId, 0)) {
      Outcomes.requireSuccess(stream.await(bytes -> received.addAndGet(bytes.size()), _ -> {}));
    }
    if (received.get() != BYTES) {
      throw new BenchException("of " + BYTES + " bytes kept " + received + " came");
    }
  }
}
