package dev.sandkeeper.bench;

import dev.sandkeeper.client.ExecutionResult;
import java.io.IOException;

/** Runs {@code print(1)} in a context that is warm, to the last event. */
final class CodeWarm implements Row {

  @Override
  public Spec spec() {
    return new Spec("code_warm", "ms", Better.LOWER, Floor.p50(1.5), 8_000, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    // Makes the context.
    printOne(place);
    return Runs.of(() -> Timing.millis(() -> printOne(place)));
  }

  private static void printOne(Workplace place) {
    ExecutionResult result = place.sandbox().python("print(1)").run();
    Outcomes.requireSuccess(result.finished());
    if (!result.stdoutText().equals("1\n")) {
      throw new BenchException("print(1) printed " + result.stdoutText());
    }
  }
}
