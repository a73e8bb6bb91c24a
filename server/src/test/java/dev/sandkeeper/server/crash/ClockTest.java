package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.util.Durations;
import com.google.protobuf.util.Timestamps;
import dev.sandkeeper.v1.CreateApiKeyRequest;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.GetSandboxUsageRequest;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxState;
import dev.sandkeeper.v1.Scope;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The machine's clock is set by hours, under a server and its database. A library that stands
 * before the system's plays the machine: Debian's package {@code libfaketime}, without which these
 * tests are skipped.
 */
@Tag("alone")
class ClockTest {
  private static final Duration LONG = Duration.ofMinutes(10);
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private ServerProcess server;

  @BeforeEach
  void prepare() throws Exception {
    Optional<Path> library = library();
    assumeThat(library).as("libfaketime").isPresent();
    server =
        new ServerProcess()
            .set("LEDGER_LEASE", "2 s")
            .set("LEDGER_STOP_TIME", "2 s")
            .environment("LD_PRELOAD", library.orElseThrow().toString())
            .environment("FAKETIME_CACHE_DURATION", "1")
            .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            // What it takes for a mend makes each wait of the JVM end at once.
            .environment("FAKETIME_FORCE_MONOTONIC_FIX", "0");
    server.environment("FAKETIME_TIMESTAMP_FILE", clock().toString());
    setClock("+0");
  }

  @AfterEach
  void clean() throws Exception {
    if (server != null) {
      server.close();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"+7200", "-7200"})
  void stepUnderARunningServerChangesNoTimeOfIts(String step) throws Exception {
    server.start();
    long began = System.nanoTime();
    Sandbox sandbox = server.client().create(LONG);
    String id = sandbox.getSandboxId();
    String key =
        server
            .client()
            .admin()
            .createApiKey(
                CreateApiKeyRequest.newBuilder()
                    .addScopes(Scope.SCOPE_READ)
                    .setExpireTime(
                        Timestamps.add(sandbox.getCreateTime(), Durations.fromSeconds(3600)))
                    .build())
            .getSecret();
    Run run =
        server.client().start(Client.bash(id, "until [ -e go ]; do sleep 0.05; done; echo end"));
    String executionId = run.executionId();

    setClock(step);
    Instant shown = awaitStep(step);
    Instant metered = meteredUntil(id);
    await().atMost(PATIENCE).until(() -> meteredUntil(id).isAfter(metered.plusSeconds(3)));

    assertThat(server.client().get(id).getState()).isEqualTo(SandboxState.SANDBOX_STATE_RUNNING);
    assertThat(server.client().get(id).getExpireTime()).isEqualTo(sandbox.getExpireTime());
    server.client().run(Client.bash(id, "touch go"));
    assertThat(run.finished().getReason()).isEqualTo(FinishReason.FINISH_REASON_COMPLETED);
    assertThat(run.stdout()).isEqualTo("end\n");
    Instant last = Instant.EPOCH;
    for (ExecutionEvent event : run.events()) {
      assertThat(Client.instant(event.getTime())).isAfterOrEqualTo(last);
      last = Client.instant(event.getTime());
    }
    try (Client reader = new Client(server.client().port(), key)) {
      assertThat(reader.get(id).getSandboxId()).isEqualTo(id);
    }
    Sandbox ended = server.client().terminate(id);
    Duration all = Duration.ofNanos(System.nanoTime() - began);

    Duration billed =
        Duration.ofMillis(
            Durations.toMillis(
                server
                    .client()
                    .sandboxes()
                    .getSandboxUsage(GetSandboxUsageRequest.newBuilder().setSandboxId(id).build())
                    .getUsage()
                    .getLifetime()));
    assertThat(billed).isBetween(Duration.ofSeconds(3), all);
    assertThat(Duration.between(Client.instant(sandbox.getCreateTime()), last))
        .isBetween(Duration.ofSeconds(3), all);
    assertThat(Duration.between(last, shown).abs()).isGreaterThan(Duration.ofHours(1));
    assertThat(ended.getState()).isEqualTo(SandboxState.SANDBOX_STATE_TERMINATED);
    assertThat(executionId).isNotEmpty();
    Books.assertSound(server);
  }

  @ParameterizedTest
  @ValueSource(strings = {"+7200", "-7200"})
  void serverThatStartsOnASteppedClockKeepsTheBooksSound(String step) throws Exception {
    server.start();
    String id = server.client().create(LONG).getSandboxId();
    server.kill();
    setClock(step);

    server.start();

    String next = server.client().create(LONG).getSandboxId();
    assertThat(server.client().run(Client.bash(next, "echo served"))).isEqualTo("served\n");
    System.out.println(step + ": " + server.client().get(id));
    System.out.println(
        server
            .client()
            .sandboxes()
            .getSandboxUsage(GetSandboxUsageRequest.newBuilder().setSandboxId(id).build()));
    server.client().terminate(next);
    server.client().terminate(id);
    Books.assertSound(server);
  }

  private static Optional<Path> library() throws IOException {
    try (Stream<Path> folders = Files.list(Path.of("/usr/lib"))) {
      return folders
          .map(folder -> folder.resolve("faketime").resolve("libfaketime.so.1"))
          .filter(Files::exists)
          .findFirst();
    }
  }

  private Path clock() {
    return server.folder().resolve("clock");
  }

  private void setClock(String step) throws IOException {
    Path next = Files.writeString(server.folder().resolve("clock.next"), step + "\n");
    Files.move(next, clock(), StandardCopyOption.ATOMIC_MOVE);
  }

  /** Waits until the server's machine shows the new time, and returns it. */
  private Instant awaitStep(String step) throws Exception {
    Duration expected = Duration.ofSeconds(Long.parseLong(step));
    try (HttpClient http = HttpClient.newHttpClient()) {
      return await()
          .atMost(PATIENCE)
          .until(
              () -> wallClock(http),
              time ->
                  Duration.between(Instant.now().plus(expected), time)
                          .abs()
                          .compareTo(Duration.ofMinutes(1))
                      < 0);
    }
  }

  private Instant wallClock(HttpClient http) throws Exception {
    HttpResponse<Void> health =
        http.send(
            HttpRequest.newBuilder(
                    URI.create("http://127.0.0.1:" + server.client().port() + "/health"))
                .build(),
            HttpResponse.BodyHandlers.discarding());
    return ZonedDateTime.parse(
            health.headers().firstValue("date").orElseThrow(),
            DateTimeFormatter.RFC_1123_DATE_TIME.withLocale(java.util.Locale.ROOT))
        .toInstant();
  }

  private Instant meteredUntil(String sandboxId) throws Exception {
    return Instant.parse(
        server
            .query(
                "select to_char(coalesce(metered_until, start_time) at time zone 'UTC',"
                    + " 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') from sandbox where sandbox_id = '"
                    + sandboxId
                    + "'")
            .getFirst());
  }
}
