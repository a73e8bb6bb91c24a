package dev.sandkeeper.bench;

import dev.sandkeeper.client.SandboxHandle;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Executes {@code true} 1,000 times at once in 50 sandboxes, and takes the time within which 99 of
 * 100 are over, from the moment at which all begin.
 */
final class Burst implements Row {
  private static final int SANDBOXES = 50;
  private static final int EXECUTIONS = 1000;
  private static final int PERCENT = 99;

  @Override
  public Spec spec() {
    return new Spec("burst", "ms", Better.LOWER, Floor.none(), 3, 5);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    List<SandboxHandle> sandboxes = new ArrayList<>();
    for (int made = 0; made < SANDBOXES; made++) {
      sandboxes.add(place.makeAnother());
    }
    return Runs.of(() -> burst(sandboxes));
  }

  private static double burst(List<SandboxHandle> sandboxes) throws InterruptedException {
    CountDownLatch start = new CountDownLatch(1);
    List<Future<Long>> ends = new ArrayList<>();
    try (ExecutorService callers = Executors.newVirtualThreadPerTaskExecutor()) {
      for (int execution = 0; execution < EXECUTIONS; execution++) {
        SandboxHandle sandbox = sandboxes.get(execution % SANDBOXES);
        ends.add(
            callers.submit(() -> {
              start.await();
              Outcomes.requireSuccess(sandbox.command("true").run().finished());
              return System.nanoTime();
            }));
      }
      long startNanos = System.nanoTime();
      start.countDown();
      double[] millis = new double[EXECUTIONS];
      for (int execution = 0; execution < EXECUTIONS; execution++) {
        millis[execution] = (ends.get(execution).get() - startNanos) / 1e6;
      }
      Arrays.sort(millis);
      return millis[EXECUTIONS * PERCENT / 100 - 1];
    } catch (ExecutionException e) {
      throw new BenchException("an execution of a burst failed: " + e.getCause());
    }
  }
}
