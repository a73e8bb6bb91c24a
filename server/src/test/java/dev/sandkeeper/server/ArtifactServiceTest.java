package dev.sandkeeper.server;

import static dev.sandkeeper.server.Caller.executionId;
import static dev.sandkeeper.server.Caller.shellRequest;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import com.google.protobuf.Duration;
import com.google.protobuf.util.Durations;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.ArchiveEnd;
import dev.sandkeeper.v1.ArtifactSelection;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.ExecutionState;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Language;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ReadArtifactsRequest;
import dev.sandkeeper.v1.ReadArtifactsResponse;
import dev.sandkeeper.v1.RunOnceRequest;
import dev.sandkeeper.v1.RunOnceResponse;
import dev.sandkeeper.v1.SandboxState;
import io.grpc.Status;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/** The files that are kept of an execution when it is over. */
class ArtifactServiceTest {
  @RegisterExtension
  static final RunningServer server = new RunningServer(Map.of("SANDKEEPER_EXECUTION_KEEP", "1 s"));

  private static final Duration HOUR = Durations.fromHours(1);

  private final Caller caller = server.runner();
  @TempDir private Path folder;

  @Test
  void theyAreThereWhenTheSandboxIsGone() throws Exception {
    RunOnceRequest request =
        run("mkdir -p out/deep; printf a >out/a.txt; printf b >out/deep/b.txt; printf c >out/c.png")
            .setRequestId(UUID.randomUUID().toString())
            .setArtifacts(artifacts("out", "**/*.txt"))
            .build();

    List<RunOnceResponse> steps = caller.runOnce(request);

    String execution = steps.getFirst().getCreated().getExecutionId();
    assertThat(steps.getLast().getSettled().getSandbox().getState())
        .isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    Read read = read(execution);
    assertThat(unpacked(read)).containsExactly("a.txt a", "deep/b.txt b");
    assertThat(read.end().getFileCount()).isEqualTo(2);
    assertThat(read.end().getSentBytes()).isEqualTo(read.bytes().size());
    assertThat(read.end().getSha256().toByteArray())
        .isEqualTo(MessageDigest.getInstance("SHA-256").digest(read.bytes().toByteArray()));
    var _ = caller.runOnce(request);
    assertThat(read(execution)).isEqualTo(read);
  }

  @Test
  void theyAreAsTheyWereAtTheEndHoweverItEnded() throws Exception {
    String sandbox = caller.create().getSandboxId();
    List<ExecutionEvent> failed =
        caller.execute(
            shellRequest(sandbox, "mkdir o; echo 1 >o/f; exit 3").toBuilder()
                .setKeepDuration(HOUR)
                .setArtifacts(artifacts("/home/user/o"))
                .build());
    List<ExecutionEvent> late =
        caller.execute(
            shellRequest(sandbox, "echo 2 >o/f; sleep 60").toBuilder()
                .setDeadline(Durations.fromMillis(500))
                .setKeepDuration(HOUR)
                .setArtifacts(artifacts("o"))
                .build());
    var _ = caller.shell(sandbox, "echo 3 >o/f");

    assertThat(unpacked(read(executionId(failed)))).containsExactly("f 1\n");
    assertThat(Caller.finished(late).getReason()).isEqualTo(FinishReason.FINISH_REASON_DEADLINE);
    assertThat(unpacked(read(executionId(late)))).containsExactly("f 2\n");
  }

  @Test
  void theNextCellWaitsUntilTheyAreCollected() throws Exception {
    String sandbox = caller.create().getSandboxId();
    ExecuteRequest.Builder cell =
        ExecuteRequest.newBuilder().setSandboxId(sandbox).setKeepDuration(HOUR);
    Iterator<ExecuteResponse> first =
        caller
            .sandboxes()
            .execute(
                cell.clone()
                    .setCode(
                        python(
                            """
                            import os, time
                            os.mkdir('o')
                            for i in range(3000):
                                open(f'o/{i}', 'w').write('1')
                            while not os.path.exists('go'): time.sleep(0.01)
                            """))
                    .setArtifacts(artifacts("o"))
                    .build());
    String execution = first.next().getEvent().getStarted().getExecutionId();
    CompletableFuture<List<ExecutionEvent>> second =
        CompletableFuture.supplyAsync(() ->
            caller.execute(
                cell.clone()
                    .setCode(python("for i in range(2999, -1, -1): open(f'o/{i}', 'w').write('2')"))
                    .build()));
    await().until(() -> running(sandbox) == 2);

    var _ = caller.shell(sandbox, "touch go");

    assertThat(Caller.finished(second.get(1, TimeUnit.MINUTES)).getExitCode()).isZero();
    assertThat(unpacked(read(execution))).hasSize(3000).allMatch(file -> file.endsWith(" 1"));
  }

  private long running(String sandbox) {
    return caller
        .executions()
        .listExecutions(ListExecutionsRequest.newBuilder().setSandboxId(sandbox).build())
        .getExecutionsList()
        .stream()
        .filter(execution -> execution.getState() == ExecutionState.EXECUTION_STATE_RUNNING)
        .count();
  }

  private static Code python(String source) {
    return Code.newBuilder().setLanguage(Language.LANGUAGE_PYTHON).setSource(source).build();
  }

  @Test
  void whoReadsWaitsForTheEnd() throws Exception {
    String sandbox = caller.create().getSandboxId();
    Iterator<ExecuteResponse> events =
        caller
            .sandboxes()
            .execute(
                shellRequest(sandbox, "until [ -e go ]; do sleep 0.05; done; mkdir o; echo x >o/f")
                    .toBuilder()
                    .setKeepDuration(HOUR)
                    .setArtifacts(artifacts("o"))
                    .build());
    String execution = events.next().getEvent().getStarted().getExecutionId();
    CompletableFuture<Read> read = CompletableFuture.supplyAsync(() -> read(execution));

    var _ = caller.shell(sandbox, "touch go");

    assertThat(unpacked(read.join())).containsExactly("f x\n");
  }

  @Test
  void whatCannotBeCollectedIsSaidAndTheRunIsSettledAllTheSame() {
    List<RunOnceResponse> steps =
        caller.runOnce(run("true").setArtifacts(artifacts("missing")).build());
    List<RunOnceResponse> large =
        caller.runOnce(
            run("mkdir o; head -c 2000000 /dev/zero >o/f")
                .setJournalSizeBytes(1 << 20)
                .setArtifacts(artifacts("o"))
                .build());

    assertThat(steps.getLast().hasSettled()).isTrue();
    refused(Status.Code.NOT_FOUND, ErrorReason.FILE_NOT_FOUND, steps);
    refused(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.SIZE_LIMIT_EXCEEDED, large);
    refused(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.ARTIFACTS_NOT_SELECTED,
        caller.runOnce(run("true").build()));
  }

  @Test
  void aPathThatLeadsOutIsRefusedAtOnce() {
    assertThat(
            Refusal.ofField(
                "artifacts.path",
                () -> caller.runOnce(run("true").setArtifacts(artifacts("a/../..")).build())))
        .contains("..");
  }

  @Test
  void theyAreKeptAsLongAsTheEventsAlsoAfterTheServerWasStartedAgain() throws Exception {
    List<RunOnceResponse> kept =
        caller.runOnce(
            run("mkdir o; echo x >o/f").setKeepDuration(HOUR).setArtifacts(artifacts("o")).build());
    List<RunOnceResponse> gone =
        caller.runOnce(
            run("mkdir o; echo x >o/f")
                .setKeepDuration(Durations.fromSeconds(1))
                .setArtifacts(artifacts("o"))
                .build());
    String missing =
        execution(
            caller.runOnce(
                run("true").setKeepDuration(HOUR).setArtifacts(artifacts("missing")).build()));

    await()
        .untilAsserted(() -> refused(Status.Code.NOT_FOUND, ErrorReason.ARTIFACTS_NOT_KEPT, gone));
    server.restart();

    Caller after = server.runner();
    assertThat(unpacked(read(after, execution(kept)))).containsExactly("f x\n");
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.FILE_NOT_FOUND, () -> read(after, missing));
  }

  @Test
  void othersDoNotSeeThem() {
    List<RunOnceResponse> steps =
        caller.runOnce(run("mkdir o").setKeepDuration(HOUR).setArtifacts(artifacts("o")).build());

    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.EXECUTION_NOT_FOUND,
        () -> read(server.stranger(), execution(steps)));
    assertThat(read(server.reader(), execution(steps)).end().getFileCount()).isZero();
  }

  private record Read(ByteString bytes, ArchiveEnd end) {}

  private Read read(String execution) {
    return read(caller, execution);
  }

  private static Read read(Caller caller, String execution) {
    Iterator<ReadArtifactsResponse> parts =
        caller
            .executions()
            .readArtifacts(ReadArtifactsRequest.newBuilder().setExecutionId(execution).build());
    ByteString bytes = ByteString.EMPTY;
    ReadArtifactsResponse part = parts.next();
    for (; part.hasData(); part = parts.next()) {
      bytes = bytes.concat(part.getData());
    }
    assertThat(parts.hasNext()).isFalse();
    return new Read(bytes, part.getEnd());
  }

  private static void refused(Status.Code code, ErrorReason reason, List<RunOnceResponse> steps) {
    Refusal.of(code, reason, () -> read(server.runner(), execution(steps)));
  }

  private static String execution(List<RunOnceResponse> steps) {
    return steps.getFirst().getCreated().getExecutionId();
  }

  /** Unpacks an archive with the machine's own tar; returns its files with their content. */
  private List<String> unpacked(Read read) throws IOException, InterruptedException {
    Path target = Files.createTempDirectory(folder, "unpacked");
    Path archive = target.resolveSibling(target.getFileName() + ".tar");
    Files.write(archive, read.bytes().toByteArray());
    Process tar =
        new ProcessBuilder("tar", "-xf", archive.toString(), "-C", target.toString()).start();
    assertThat(tar.waitFor()).isZero();
    try (var files = Files.walk(target)) {
      return files
          .filter(Files::isRegularFile)
          .sorted()
          .map(file -> target.relativize(file) + " " + text(file))
          .toList();
    }
  }

  private static String text(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private static ArtifactSelection artifacts(String path, String... patterns) {
    return ArtifactSelection.newBuilder().setPath(path).addAllPatterns(List.of(patterns)).build();
  }

  private static RunOnceRequest.Builder run(String line) {
    return RunOnceRequest.newBuilder().setCommand(Command.newBuilder().setShell(line));
  }
}
