package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionStream;
import java.io.IOException;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Runs {@code print(1)} in a context that is warm, to the last event. */
final class CodeWarm implements Row {
  private final Lab lab;
  private @Nullable Workplace workplace;

  CodeWarm(Lab lab) {
    this.lab = lab;
  }

  @Override
  public Spec spec() {
    return new Spec("code_warm", "ms", Better.LOWER, Floor.p50(2), 500, 10);
  }

  @Override
  public void prepare() throws IOException, InterruptedException {
    workplace = lab.startWorkplace();
  }

  @Override
  public double sample() {
    Workplace place = Objects.requireNonNull(workplace);
    StringBuilder stdout = new StringBuilder();
    long start = System.nanoTime();
    try (ExecutionStream stream =
        place.client().sandbox(place.sandboxId()).python("print(1)").stream()) {
      Outcomes.requireSuccess(stream.await(bytes -> stdout.append(bytes.toStringUtf8()), _ -> {}));
    }
    double millis = Timing.millisSince(start);
    if (!stdout.toString().equals("1\n")) {
      throw new BenchException("print(1) printed " + stdout);
    }
    return millis;
  }
}
