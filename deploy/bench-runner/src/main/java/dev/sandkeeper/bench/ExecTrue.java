package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteRequest;
import java.io.IOException;
import java.util.Objects;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/** Executes {@code true}, to the last event; raw: {@code runc exec true}. */
final class ExecTrue implements Row {
  private final Lab lab;
  private @Nullable Workplace workplace;
  private @Nullable RawContainer raw;

  ExecTrue(Lab lab) {
    this.lab = lab;
  }

  @Override
  public Spec spec() {
    return new Spec("exec_true", "ms", Better.LOWER, Floor.ratio(0.25), 500, 10);
  }

  @Override
  public void prepare() throws IOException, InterruptedException {
    workplace = lab.startWorkplace();
    raw = lab.startRawContainer(workplace);
  }

  @Override
  public double sample() {
    Workplace place = Objects.requireNonNull(workplace);
    ExecuteRequest request =
        ExecuteRequest.newBuilder()
            .setSandboxId(place.sandboxId())
            .setCommand(Command.newBuilder().addArgv("true"))
            .build();
    long start = System.nanoTime();
    try (ExecutionStream stream = place.client().execute(request)) {
      Outcomes.requireSuccess(stream.await());
    }
    return Timing.millisSince(start);
  }

  @Override
  public OptionalDouble rawSample() throws IOException, InterruptedException {
    long start = System.nanoTime();
    Objects.requireNonNull(raw).execTrue();
    return OptionalDouble.of(Timing.millisSince(start));
  }
}
