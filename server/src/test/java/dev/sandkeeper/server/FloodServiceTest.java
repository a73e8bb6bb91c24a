package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.v1.Command;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.ListExecutionsRequest;
import dev.sandkeeper.v1.ListExecutionsResponse;
import dev.sandkeeper.v1.Output;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** More of everything than a program should make: nothing is lost, and nothing grows. */
class FloodServiceTest {
  private static final int MAX_KEPT = 100;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(Map.of("SANDKEEPER_EXECUTION_MAX_KEPT", Integer.toString(MAX_KEPT)));

  private final Caller caller = server.runner();
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = caller.create().getSandboxId();
  }

  @Test
  void aMillionTinyWritesAllCome() {
    Counted counted =
        count("python3", "-c", "import os\nfor i in range(1000000): os.write(1, b'%x' % (i % 16))");
    assertThat(counted.bytes).isEqualTo(1_000_000);
    assertThat(counted.wrong).isZero();
    // Not an event for each.
    assertThat(counted.events).isLessThan(500_000);
  }

  @Test
  void aLineOfAHundredMegabytesComesWhole() {
    Counted counted =
        count(
            "python3",
            "-c",
            "import os\nline = memoryview(b'0123456789abcdef' * 6250000)\n"
                + "while line: line = line[os.write(1, line):]");
    assertThat(counted.bytes).isEqualTo(100_000_000);
    assertThat(counted.wrong).isZero();
  }

  @Test
  void bothStreamsFloodedAtOnceStayApart() {
    Finished finished = null;
    long stdout = 0;
    long stderr = 0;
    for (Iterator<ExecuteResponse> events =
            caller
                .sandboxes()
                .execute(
                    command(
                        "bash",
                        "-c",
                        "head -c 20000000 /dev/zero & head -c 20000000 /dev/zero >&2; wait"));
        events.hasNext(); ) {
      ExecutionEvent event = events.next().getEvent();
      assertThat(event.getStdout().getOffset()).isEqualTo(event.hasStdout() ? stdout : 0);
      assertThat(event.getStderr().getOffset()).isEqualTo(event.hasStderr() ? stderr : 0);
      stdout += event.getStdout().getData().size();
      stderr += event.getStderr().getData().size();
      finished = event.hasFinished() ? event.getFinished() : finished;
    }
    assertThat(stdout).isEqualTo(20_000_000);
    assertThat(stderr).isEqualTo(20_000_000);
    assertThat(finished)
        .extracting(Finished::getReason)
        .isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
  }

  @Test
  void tenThousandExecutionsLeaveNoMoreThanIsKept() throws Exception {
    int count = 10_000;
    AtomicInteger left = new AtomicInteger(count);
    Callable<Integer> runner =
        () -> {
          int failed = 0;
          while (left.getAndDecrement() > 0) {
            Finished finished =
                Caller.finished(Caller.events(caller.sandboxes().execute(command("/bin/true"))));
            failed += finished.getExitCode() == 0 ? 0 : 1;
          }
          return failed;
        };
    List<Future<Integer>> runners = new ArrayList<>();
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      for (int i = 0; i < 16; i++) {
        runners.add(executor.submit(runner));
      }
    }
    for (Future<Integer> ended : runners) {
      assertThat(ended.get()).isZero();
    }
    assertThat(listed()).hasSize(count);
    assertThat(journals()).isLessThanOrEqualTo(MAX_KEPT);
    assertThat(Caller.stdout(caller.shell(sandbox, "echo still; ls /proc | grep -c '^[0-9]'")))
        .matches("still\n\\d{1,2}\n");
  }

  private Set<String> listed() {
    Set<String> ids = new HashSet<>();
    String token = "";
    do {
      ListExecutionsResponse page =
          caller
              .executions()
              .listExecutions(
                  ListExecutionsRequest.newBuilder()
                      .setSandboxId(sandbox)
                      .setPageSize(1000)
                      .setPageToken(token)
                      .build());
      page.getExecutionsList().forEach(execution -> ids.add(execution.getExecutionId()));
      token = page.getNextPageToken();
    } while (!token.isEmpty());
    return ids;
  }

  private static long journals() throws IOException {
    try (Stream<Path> folders = Files.list(server.dataFolder().resolve("journal"))) {
      return folders.count();
    }
  }

  private static final class Counted {
    private long bytes;
    private long wrong;
    private long events;

    void add(Output output) {
      assertThat(output.getOffset()).isEqualTo(bytes);
      events++;
      for (byte b : output.getData().toByteArray()) {
        if (b != "0123456789abcdef".charAt((int) (bytes++ % 16))) {
          wrong++;
        }
      }
    }
  }

  private Counted count(String... argv) {
    Counted counted = new Counted();
    ExecutionEvent last = ExecutionEvent.getDefaultInstance();
    for (Iterator<ExecuteResponse> events = caller.sandboxes().execute(command(argv));
        events.hasNext(); ) {
      last = events.next().getEvent();
      if (last.hasStdout()) {
        counted.add(last.getStdout());
      }
    }
    assertThat(last.getFinished().getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    return counted;
  }

  private ExecuteRequest command(String... argv) {
    return ExecuteRequest.newBuilder()
        .setSandboxId(sandbox)
        .setCommand(Command.newBuilder().addAllArgv(List.of(argv)))
        .build();
  }
}
