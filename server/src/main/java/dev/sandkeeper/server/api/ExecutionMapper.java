package dev.sandkeeper.server.api;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.engine.Stdio;
import dev.sandkeeper.server.execution.ArtifactSelection;
import dev.sandkeeper.server.execution.ExecutionRequest;
import dev.sandkeeper.server.execution.NumberedEvent;
import dev.sandkeeper.server.ledger.NanoUsd;
import dev.sandkeeper.server.secret.SecretReference;
import dev.sandkeeper.v1.BudgetWarning;
import dev.sandkeeper.v1.CapturedOutput;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.CodeError;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.Execution;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.ExecutionResult;
import dev.sandkeeper.v1.ExecutionState;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.Heartbeat;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.Output;
import dev.sandkeeper.v1.Refusal;
import dev.sandkeeper.v1.Result;
import dev.sandkeeper.v1.Started;
import dev.sandkeeper.v1.Terminal;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeMap;

/** Executions and their events on the wire. */
public final class ExecutionMapper {
  private static final int DEFAULT_ROWS = 24;
  private static final int DEFAULT_COLUMNS = 80;
  private static final String DEFAULT_TERMINAL = "xterm-256color";

  private ExecutionMapper() {}

  /** Returns what is asked for. */
  public static ExecutionRequest fromProto(ExecuteRequest proto) {
    return new ExecutionRequest(
        new SandboxId(proto.getSandboxId()),
        RequestKeys.of(proto.getRequestId(), proto.toBuilder().clearRequestId().build()),
        run(proto),
        Optional.empty(),
        Attributions.given(proto.getWorkingDirectory()),
        proto.getEnvironmentMap(),
        secrets(proto.getSecretsList(), proto.getEnvironmentMap(), run(proto)),
        stdio(proto),
        inputs(proto.getInputsMap()),
        artifacts(proto.hasArtifacts(), proto.getArtifacts()),
        Times.fromProto(proto.hasDeadline(), proto.getDeadline()),
        given(proto.getJournalSizeBytes()),
        Times.fromProto(proto.hasKeepDuration(), proto.getKeepDuration()),
        Attributions.fromProto(proto.getAttribution()));
  }

  /**
   * Returns the secrets that something is to be given.
   *
   * @param environment what else it is given
   */
  static List<SecretReference> secrets(
      List<dev.sandkeeper.v1.SecretReference> given,
      Map<String, String> environment,
      ExecutionSpec.Run run) {
    if (!given.isEmpty() && !takesSecrets(run)) {
      throw SandkeeperException.invalidField(
          "secrets", "given (expected: absent; only commands, Bash and Python take secrets)");
    }
    List<SecretReference> references = new ArrayList<>();
    Set<String> variables = new HashSet<>(environment.keySet());
    for (int i = 0; i < given.size(); i++) {
      String name = given.get(i).getName();
      String variable = Attributions.given(given.get(i).getVariable()).orElse(name);
      if (!variables.add(variable)) {
        throw SandkeeperException.invalidField(
            "secrets[%d].variable".formatted(i),
            variable + " (expected: a variable that nothing else is given as)");
      }
      references.add(new SecretReference(name, variable));
    }
    return references;
  }

  /** A Python cell puts its environment back when it is over. */
  private static boolean takesSecrets(ExecutionSpec.Run run) {
    return switch (run) {
      case ExecutionSpec.Command _ -> true;
      case ExecutionSpec.Code code ->
          code.language() == ExecutionSpec.Language.PYTHON
              || (code.language() == ExecutionSpec.Language.BASH && code.contextId().isEmpty());
    };
  }

  /** Returns files by path, in order. */
  static Map<String, byte[]> inputs(Map<String, ByteString> files) {
    Map<String, byte[]> inputs = new TreeMap<>();
    files.forEach((path, content) -> inputs.put(path, content.toByteArray()));
    return inputs;
  }

  /** Returns the files to keep, if any are. */
  static Optional<ArtifactSelection> artifacts(
      boolean given, dev.sandkeeper.v1.ArtifactSelection selection) {
    return given
        ? Optional.of(new ArtifactSelection(selection.getPath(), selection.getPatternsList()))
        : Optional.empty();
  }

  /** Returns a number, of which 0 stands for none. */
  static OptionalLong given(long number) {
    return number == 0 ? OptionalLong.empty() : OptionalLong.of(number);
  }

  static Execution toProto(dev.sandkeeper.server.execution.Execution execution) {
    Execution.Builder proto =
        Execution.newBuilder()
            .setExecutionId(execution.executionId().value())
            .setSandboxId(execution.sandboxId().value())
            .setState(
                execution.outcome().isPresent()
                    ? ExecutionState.EXECUTION_STATE_FINISHED
                    : ExecutionState.EXECUTION_STATE_RUNNING)
            .setStartTime(Times.toProto(execution.startTime()));
    execution.language().map(ExecutionMapper::toProto).ifPresent(proto::setLanguage);
    execution
        .outcome()
        .ifPresent(outcome -> {
          Duration duration = Duration.between(execution.startTime(), outcome.endTime());
          proto
              .setEndTime(Times.toProto(outcome.endTime()))
              .setFinished(finished(outcome.end(), duration, outcome.cost()));
        });
    return proto.build();
  }

  static ExecutionEvent toProto(NumberedEvent numbered) {
    ExecutionEvent.Builder proto =
        ExecutionEvent.newBuilder()
            .setSequence(numbered.sequence())
            .setTime(Times.toProto(numbered.time()));
    switch (numbered.event()) {
      case dev.sandkeeper.server.execution.ExecutionEvent.Started started ->
          proto.setStarted(
              Started.newBuilder()
                  .setExecutionId(started.executionId().value())
                  .setPid(started.pid()));
      case dev.sandkeeper.server.execution.ExecutionEvent.Output output -> {
        // Nobody changes the array after it was read from the journal, so it need not be copied.
        Output.Builder chunk =
            Output.newBuilder()
                .setData(UnsafeByteOperations.unsafeWrap(output.data()))
                .setOffset(output.offset());
        if (output.kind() == OutputStreamKind.STDOUT) {
          proto.setStdout(chunk);
        } else {
          proto.setStderr(chunk);
        }
      }
      case dev.sandkeeper.server.execution.ExecutionEvent.Result result -> {
        Result.Builder bundle = Result.newBuilder();
        result.data().forEach((type, data) -> bundle.putData(type, ByteString.copyFrom(data)));
        proto.setResult(bundle);
      }
      case dev.sandkeeper.server.execution.ExecutionEvent.Failed failed ->
          proto.setError(toProto(failed.error()));
      case dev.sandkeeper.server.execution.ExecutionEvent.BudgetWarning warning ->
          proto.setBudgetWarning(
              BudgetWarning.newBuilder()
                  .setLimitId(warning.limitId())
                  .setRemainingNanoUsd(warning.remaining().value())
                  .setPaidUntilTime(Times.toProto(warning.paidUntil())));
      case dev.sandkeeper.server.execution.ExecutionEvent.Finished finished ->
          proto.setFinished(toProto(finished));
    }
    return proto.build();
  }

  static ExecutionResult toProto(dev.sandkeeper.server.execution.ExecutionResult result) {
    ExecutionResult.Builder proto = ExecutionResult.newBuilder();
    switch (result) {
      case dev.sandkeeper.server.execution.ExecutionResult.Ran ran -> {
        proto
            .setExecutionId(ran.executionId().value())
            .setFinished(toProto(ran.finished()))
            .setStdout(toProto(ran.stdout()))
            .setStderr(toProto(ran.stderr()));
        ran.error().map(ExecutionMapper::toProto).ifPresent(proto::setError);
      }
      case dev.sandkeeper.server.execution.ExecutionResult.Refused refused -> {
        SandkeeperException refusal = refused.refusal();
        proto.setRefusal(
            Refusal.newBuilder()
                .setReason(refusal.reason().name())
                .setMessage(String.valueOf(refusal.getMessage()))
                .putAllMetadata(refusal.context()));
      }
    }
    return proto.build();
  }

  private static CapturedOutput toProto(dev.sandkeeper.server.execution.CapturedOutput output) {
    return CapturedOutput.newBuilder()
        .setData(UnsafeByteOperations.unsafeWrap(output.data()))
        .setCut(output.cut())
        .build();
  }

  private static CodeError toProto(dev.sandkeeper.server.engine.CodeError error) {
    return CodeError.newBuilder()
        .setName(error.name())
        .setValue(error.value())
        .setTraceback(error.traceback())
        .build();
  }

  private static Finished toProto(
      dev.sandkeeper.server.execution.ExecutionEvent.Finished finished) {
    return finished(finished.end(), finished.duration(), finished.cost());
  }

  /** Returns the event that says the stream is alive. */
  static ExecutionEvent heartbeat(java.time.Instant time) {
    return ExecutionEvent.newBuilder()
        .setTime(Times.toProto(time))
        .setHeartbeat(Heartbeat.getDefaultInstance())
        .build();
  }

  static Stdio stdio(ExecuteRequest proto) {
    return new Stdio(
        proto.getStdin().toByteArray(),
        proto.getKeepStdinOpen(),
        proto.hasTerminal() ? Optional.of(terminal(proto.getTerminal())) : Optional.empty());
  }

  private static dev.sandkeeper.server.engine.Terminal terminal(Terminal proto) {
    return new dev.sandkeeper.server.engine.Terminal(
        proto.getRows() == 0 ? DEFAULT_ROWS : proto.getRows(),
        proto.getColumns() == 0 ? DEFAULT_COLUMNS : proto.getColumns(),
        proto.getName().isEmpty() ? DEFAULT_TERMINAL : proto.getName());
  }

  /** Returns what is to be run, without where. */
  static ExecutionSpec.Run run(ExecuteRequest proto) {
    return switch (proto.getRunCase()) {
      case COMMAND -> command(proto.getCommand());
      case CODE -> {
        if (proto.getCode().getLanguage() != Language.LANGUAGE_BASH
            || !proto.getCode().getContextId().isEmpty()) {
          requireAbsent("working_directory", !proto.getWorkingDirectory().isEmpty());
          requireAbsent("environment", proto.getEnvironmentCount() > 0);
          requireAbsent("stdin", !proto.getStdin().isEmpty());
          requireAbsent("keep_stdin_open", proto.getKeepStdinOpen());
          requireAbsent("terminal", proto.hasTerminal());
        }
        yield code(proto.getCode());
      }
      case RUN_NOT_SET ->
          throw SandkeeperException.invalidField("run", "absent (expected: command or code)");
    };
  }

  /** Returns the command that is to be run. */
  static ExecutionSpec.Command command(Command command) {
    if (!command.getShell().isEmpty()) {
      return new ExecutionSpec.Command(List.of("/bin/bash", "-c", command.getShell()));
    }
    if (command.getArgv(0).isEmpty()) {
      throw SandkeeperException.invalidField(
          "command.argv[0]", "\"\" (expected: the program's name)");
    }
    return new ExecutionSpec.Command(command.getArgvList());
  }

  private static ExecutionSpec.Code code(Code code) {
    return new ExecutionSpec.Code(
        language(code.getLanguage()),
        code.getSource(),
        Attributions.given(code.getContextId()).map(ContextId::new));
  }

  static ExecutionSpec.Language language(Language language) {
    return switch (language) {
      case LANGUAGE_PYTHON -> ExecutionSpec.Language.PYTHON;
      case LANGUAGE_BASH -> ExecutionSpec.Language.BASH;
      case LANGUAGE_JAVASCRIPT -> ExecutionSpec.Language.JAVASCRIPT;
      case LANGUAGE_TYPESCRIPT -> ExecutionSpec.Language.TYPESCRIPT;
      case LANGUAGE_JAVA -> ExecutionSpec.Language.JAVA;
      case LANGUAGE_R -> ExecutionSpec.Language.R;
      case LANGUAGE_UNSPECIFIED, UNRECOGNIZED ->
          throw new IllegalArgumentException("language: " + language);
    };
  }

  /** A context that lives on has its own folder and environment, which one cell does not change. */
  private static void requireAbsent(String field, boolean present) {
    if (present) {
      throw SandkeeperException.invalidField(
          field, "given (expected: absent for code in a context, which lives on)");
    }
  }

  /** Refuses a context where code runs that is alone in its sandbox, or a process of its own. */
  static void requireNoContext(String field, Code code) {
    if (!code.getContextId().isEmpty()) {
      throw SandkeeperException.invalidField(
          field + ".context_id", code.getContextId() + " (expected: absent)");
    }
  }

  static Language toProto(ExecutionSpec.Language language) {
    return switch (language) {
      case PYTHON -> Language.LANGUAGE_PYTHON;
      case BASH -> Language.LANGUAGE_BASH;
      case JAVASCRIPT -> Language.LANGUAGE_JAVASCRIPT;
      case TYPESCRIPT -> Language.LANGUAGE_TYPESCRIPT;
      case JAVA -> Language.LANGUAGE_JAVA;
      case R -> Language.LANGUAGE_R;
    };
  }

  private static Finished finished(ExecutionEnd end, Duration duration, NanoUsd cost) {
    Finished.Builder proto =
        Finished.newBuilder()
            .setReason(toProto(end.reason()))
            .setDuration(Times.toProto(duration))
            .setCostNanoUsd(cost.value());
    end.exitCode().ifPresent(proto::setExitCode);
    end.signal().ifPresent(proto::setSignal);
    end.cpuMicros().ifPresent(proto::setCpuMicros);
    end.peakMemoryBytes().ifPresent(proto::setPeakMemoryBytes);
    return proto.build();
  }

  private static FinishReason toProto(ExecutionEnd.Reason reason) {
    return switch (reason) {
      case COMPLETED -> FinishReason.FINISH_REASON_COMPLETED;
      case DEADLINE -> FinishReason.FINISH_REASON_DEADLINE;
      case SIGNALED -> FinishReason.FINISH_REASON_SIGNALED;
      case OUT_OF_MEMORY -> FinishReason.FINISH_REASON_OUT_OF_MEMORY;
      case SANDBOX_ENDED -> FinishReason.FINISH_REASON_SANDBOX_ENDED;
      case NOT_STARTED -> FinishReason.FINISH_REASON_NOT_STARTED;
      case LOST -> FinishReason.FINISH_REASON_LOST;
    };
  }
}
