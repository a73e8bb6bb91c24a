package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.Attribution;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Stdio;
import dev.sandkeeper.server.execution.ExecutionRequest;
import dev.sandkeeper.server.execution.TestCase;
import dev.sandkeeper.server.execution.TestResult;
import dev.sandkeeper.server.execution.Verdict;
import dev.sandkeeper.v1.ExpectedOutput;
import dev.sandkeeper.v1.OutputComparison;
import dev.sandkeeper.v1.Program;
import dev.sandkeeper.v1.TestCodeRequest;
import dev.sandkeeper.v1.TestCodeResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Tests of programs on the wire. */
final class TestMapper {
  private static final Duration DEFAULT_TIME_LIMIT = Duration.ofSeconds(10);

  private TestMapper() {}

  static List<TestCase> fromProto(TestCodeRequest proto) {
    TaskMapper.requireUnique(
        "cases", "case_id", proto.getCasesList().stream().map(one -> one.getCaseId()).toList());
    SandboxId sandboxId = new SandboxId(proto.getSandboxId());
    return IntStream.range(0, proto.getCasesCount())
        .mapToObj(i ->
            testCase(sandboxId, proto.getProgram(), "cases[%d]".formatted(i), proto.getCases(i)))
        .toList();
  }

  /** Returns the languages whose interpreters are needed. */
  static Set<Language> languages(TestCodeRequest proto) {
    return Stream.concat(
            Stream.of(proto.getProgram()),
            proto.getCasesList().stream().map(dev.sandkeeper.v1.TestCase::getCheck))
        .filter(Program::hasCode)
        .map(program -> ExecutionMapper.language(program.getCode().getLanguage()))
        .collect(Collectors.toSet());
  }

  private static TestCase testCase(
      SandboxId sandboxId, Program program, String path, dev.sandkeeper.v1.TestCase proto) {
    Duration timeLimit =
        Times.fromProto(proto.hasTimeLimit(), proto.getTimeLimit()).orElse(DEFAULT_TIME_LIMIT);
    return new TestCase(
        proto.getCaseId(),
        request(
            sandboxId,
            command("program", program, proto.getArgsList()),
            source(program),
            proto.getEnvironmentMap(),
            proto.getStdin().toByteArray(),
            timeLimit),
        expectation(sandboxId, path, proto, timeLimit),
        ExecutionMapper.given(proto.getMemoryLimitBytes()));
  }

  private static TestCase.Expectation expectation(
      SandboxId sandboxId, String path, dev.sandkeeper.v1.TestCase proto, Duration timeLimit) {
    if (proto.hasCheck()) {
      return new TestCase.Check(
          request(
              sandboxId,
              command(path + ".check", proto.getCheck(), List.of()),
              source(proto.getCheck()),
              Map.of(),
              new byte[0], // the program's output, once there is one
              timeLimit));
    }
    ExpectedOutput output = proto.getOutput();
    return new TestCase.Output(
        output.getStdout().toByteArray(),
        output.getComparison() == OutputComparison.OUTPUT_COMPARISON_TRIMMED);
  }

  private static ExecutionRequest request(
      SandboxId sandboxId,
      ExecutionSpec.Command command,
      Optional<ExecutionSpec.Code> source,
      Map<String, String> environment,
      byte[] stdin,
      Duration timeLimit) {
    return new ExecutionRequest(
        sandboxId,
        RequestKeys.fresh(),
        command,
        source,
        Optional.empty(),
        environment,
        List.of(),
        Stdio.of(stdin),
        Map.of(),
        Optional.empty(),
        Optional.of(timeLimit),
        OptionalLong.empty(),
        Optional.empty(),
        Attribution.NONE);
  }

  private static Optional<ExecutionSpec.Code> source(Program program) {
    return program.hasCode()
        ? Optional.of(
            new ExecutionSpec.Code(
                ExecutionMapper.language(program.getCode().getLanguage()),
                program.getCode().getSource(),
                Optional.empty()))
        : Optional.empty();
  }

  /**
   * A process of its own has what a context has not: arguments, an input, and nothing of others.
   */
  private static ExecutionSpec.Command command(String path, Program program, List<String> args) {
    List<String> argv = new ArrayList<>();
    if (program.hasCommand()) {
      argv.addAll(
          TaskMapper.within(path, () -> ExecutionMapper.command(program.getCommand())).argv());
      if (!program.getCommand().getShell().isEmpty()) {
        argv.add("bash"); // $0
      }
    } else {
      ExecutionMapper.requireNoContext(path + ".code", program.getCode());
      String source = program.getCode().getSource();
      argv.addAll(
          SourcePrograms.command(
              ExecutionMapper.language(program.getCode().getLanguage()), source));
    }
    argv.addAll(args);
    return new ExecutionSpec.Command(argv);
  }

  static TestCodeResponse toProto(TestResult result) {
    TestCodeResponse.Builder proto =
        TestCodeResponse.newBuilder()
            .setCaseId(result.caseId())
            .setVerdict(toProto(result.verdict()))
            .setResult(ExecutionMapper.toProto(result.program()));
    result.check().map(ExecutionMapper::toProto).ifPresent(proto::setCheck);
    return proto.build();
  }

  private static dev.sandkeeper.v1.Verdict toProto(Verdict verdict) {
    return switch (verdict) {
      case ACCEPTED -> dev.sandkeeper.v1.Verdict.VERDICT_ACCEPTED;
      case WRONG_ANSWER -> dev.sandkeeper.v1.Verdict.VERDICT_WRONG_ANSWER;
      case RUNTIME_ERROR -> dev.sandkeeper.v1.Verdict.VERDICT_RUNTIME_ERROR;
      case TIME_LIMIT -> dev.sandkeeper.v1.Verdict.VERDICT_TIME_LIMIT;
      case MEMORY_LIMIT -> dev.sandkeeper.v1.Verdict.VERDICT_MEMORY_LIMIT;
      case CHECK_FAILED -> dev.sandkeeper.v1.Verdict.VERDICT_CHECK_FAILED;
      case LOST -> dev.sandkeeper.v1.Verdict.VERDICT_LOST;
    };
  }
}
