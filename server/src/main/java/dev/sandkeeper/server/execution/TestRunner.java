package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.sandbox.LiveSandbox;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/** Tests programs: runs each case, so many at once, and judges what came of it. */
public final class TestRunner {
  /** What a check exits with that finds the output wrong. */
  private static final int REJECTED = 1;

  private final TaskRunner taskRunner;

  /** Makes the runner. */
  public TestRunner(TaskRunner taskRunner) {
    this.taskRunner = taskRunner;
  }

  /**
   * Runs the cases and hands on the result of each as soon as it is there. However it is left,
   * nothing runs on.
   *
   * @param languages whose interpreters the cases need
   * @throws SandkeeperException when the sandbox is not there or does not run, it lacks an
   *     interpreter, or fewer may run at once
   * @throws InterruptedException when the caller is gone
   */
  public void test(
      Principal principal,
      SandboxId sandboxId,
      List<TestCase> cases,
      Set<Language> languages,
      int maxConcurrency,
      Consumer<TestResult> results)
      throws InterruptedException {
    LiveSandbox sandbox = taskRunner.requireRunning(principal, sandboxId);
    languages.forEach(language -> Executions.requireInterpreter(sandbox, language));
    try (Batch batch = taskRunner.begin(principal, maxConcurrency)) {
      batch.forEach(
          cases.iterator(),
          testCase -> test(batch, testCase),
          result -> {
            results.accept(result);
            return true;
          });
    }
  }

  private static TestResult test(Batch batch, TestCase testCase) {
    ExecutionResult result = batch.execute(testCase.program());
    Optional<Verdict> failure = failure(result, testCase);
    if (failure.isPresent() || !(result instanceof ExecutionResult.Ran ran)) {
      return new TestResult(
          testCase.caseId(), failure.orElse(Verdict.LOST), result, Optional.empty());
    }
    return switch (testCase.expectation()) {
      case TestCase.Output output ->
          new TestResult(
              testCase.caseId(),
              isAsExpected(ran.stdout().data(), output) ? Verdict.ACCEPTED : Verdict.WRONG_ANSWER,
              result,
              Optional.empty());
      case TestCase.Check check -> {
        ExecutionResult checked = batch.execute(check.program().withStdin(ran.stdout().data()));
        yield new TestResult(testCase.caseId(), judgedBy(checked), result, Optional.of(checked));
      }
    };
  }

  /** Says what is wrong with a run, whatever its output says; empty when nothing is. */
  private static Optional<Verdict> failure(ExecutionResult result, TestCase testCase) {
    return switch (result) {
      case ExecutionResult.Refused _ -> Optional.of(Verdict.LOST);
      case ExecutionResult.Ran ran -> {
        ExecutionEnd end = ran.finished().end();
        if (isLost(end)) {
          yield Optional.of(Verdict.LOST);
        }
        if (end.reason() == ExecutionEnd.Reason.DEADLINE) {
          yield Optional.of(Verdict.TIME_LIMIT);
        }
        if (end.reason() == ExecutionEnd.Reason.OUT_OF_MEMORY
            || end.peakMemoryBytes().orElse(0)
                > testCase.memoryLimitBytes().orElse(Long.MAX_VALUE)) {
          yield Optional.of(Verdict.MEMORY_LIMIT);
        }
        if (!ran.succeeded()) {
          yield Optional.of(Verdict.RUNTIME_ERROR);
        }
        yield ran.stdout().cut() ? Optional.of(Verdict.WRONG_ANSWER) : Optional.empty();
      }
    };
  }

  private static Verdict judgedBy(ExecutionResult check) {
    return switch (check) {
      case ExecutionResult.Refused _ -> Verdict.LOST;
      case ExecutionResult.Ran ran -> {
        ExecutionEnd end = ran.finished().end();
        if (isLost(end)) {
          yield Verdict.LOST;
        }
        if (ran.succeeded()) {
          yield Verdict.ACCEPTED;
        }
        yield end.reason() == ExecutionEnd.Reason.COMPLETED && end.exitCode().orElse(0) == REJECTED
            ? Verdict.WRONG_ANSWER
            : Verdict.CHECK_FAILED;
      }
    };
  }

  private static boolean isLost(ExecutionEnd end) {
    return end.reason() == ExecutionEnd.Reason.LOST
        || end.reason() == ExecutionEnd.Reason.SANDBOX_ENDED;
  }

  private static boolean isAsExpected(byte[] stdout, TestCase.Output expected) {
    return expected.trimmed()
        ? Arrays.equals(trimmed(stdout), trimmed(expected.stdout()))
        : Arrays.equals(stdout, expected.stdout());
  }

  /** Returns the bytes without white space at the ends of lines and empty lines at the end. */
  private static byte[] trimmed(byte[] output) {
    byte[] trimmed = new byte[output.length];
    int length = 0;
    int withoutWhiteSpace = 0;
    for (byte next : output) {
      if (next == '\n') {
        length = withoutWhiteSpace;
      }
      trimmed[length++] = next;
      if (next == '\n' || !isWhiteSpace(next)) {
        withoutWhiteSpace = length;
      }
    }
    length = withoutWhiteSpace;
    while (length > 0 && trimmed[length - 1] == '\n') {
      length--;
    }
    return Arrays.copyOf(trimmed, length);
  }

  private static boolean isWhiteSpace(byte next) {
    return next == ' ' || next == '\t' || next == '\r' || next == 0x0B || next == '\f';
  }
}
