package dev.sandkeeper.server.execution;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Events go in as a program makes them and come out numbered, whole and in order, to anybody. */
@Timeout(60)
class JournalTest {
  private static final Instant TIME = Instant.parse("2026-01-02T03:04:05.678901Z");
  private static final Duration SOON = Duration.ofSeconds(20);
  private static final long BOUND = 64 << 10;
  private static final int CHUNK = 1000;

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(longs = {1, 20_261_120, 8_675_309, -42})
  void randomChunksAreNumberedWithoutGapsAndReadAlikeFromEverySequence(long seed) throws Exception {
    Random random = new Random(seed);
    Journal journal = new Journal(folder, keeping(16 << 20));
    ByteArrayOutputStream stdout = new ByteArrayOutputStream();
    ByteArrayOutputStream stderr = new ByteArrayOutputStream();
    int events = 200 + random.nextInt(200);
    for (int i = 0; i < events; i++) {
      boolean out = random.nextBoolean();
      OutputStreamKind kind = out ? OutputStreamKind.STDOUT : OutputStreamKind.STDERR;
      ByteArrayOutputStream written = out ? stdout : stderr;
      byte[] chunk = new byte[1 + random.nextInt(5000)];
      random.nextBytes(chunk);
      write(journal, kind, ByteBuffer.wrap(chunk), written.size());
      written.writeBytes(chunk);
    }
    journal.append(TIME, finished());

    List<NumberedEvent> all = readToEnd(journal.reader(0));

    assertThat(all).hasSize(events + 1);
    assertThat(all.getLast().event()).isInstanceOf(ExecutionEvent.Finished.class);
    for (int i = 0; i < all.size(); i++) {
      assertThat(all.get(i).sequence()).isEqualTo(i + 1);
      assertThat(all.get(i).time()).isEqualTo(TIME);
    }
    assertThat(bytes(all, OutputStreamKind.STDOUT)).isEqualTo(stdout.toByteArray());
    assertThat(bytes(all, OutputStreamKind.STDERR)).isEqualTo(stderr.toByteArray());
    for (int i = 0; i < 25; i++) {
      int after = random.nextInt(all.size() + 1);
      List<NumberedEvent> rest = readToEnd(journal.reader(after));
      assertThat(rest).hasSize(all.size() - after);
      for (OutputStreamKind kind : OutputStreamKind.values()) {
        assertThat(bytes(rest, kind)).isEqualTo(bytes(all.subList(after, all.size()), kind));
      }
    }
  }

  @Test
  void theOldestGoAtTheBoundAndTheFirstKeptIsNamed() throws Exception {
    Journal journal = new Journal(folder, keeping(BOUND));
    fill(journal, 200);

    long firstKept = journal.firstKept();

    assertThat(firstKept).isGreaterThan(1);
    assertThatExceptionOfType(SandkeeperException.class)
        .isThrownBy(() -> journal.reader(firstKept - 2).next(Duration.ZERO))
        .satisfies(refusal -> {
          assertThat(refusal.reason()).isEqualTo(ErrorReason.SEQUENCE_NOT_KEPT);
          assertThat(refusal.context())
              .containsEntry("firstKeptSequence", Long.toString(firstKept))
              .containsEntry("afterSequence", Long.toString(firstKept - 2));
        });
    NumberedEvent first = journal.reader(firstKept - 1).next(SOON).orElseThrow();
    assertThat(first.sequence()).isEqualTo(firstKept);
    assertThat(((ExecutionEvent.Output) first.event()).offset()).isEqualTo((firstKept - 1) * CHUNK);
    assertThat(keptBytes()).isBetween(BOUND, BOUND + BOUND / 16 + 2 * CHUNK);
  }

  @Test
  void primaryHoldsBackTheAppenderAtTheBoundAndLosesNothing() throws Exception {
    Journal journal = new Journal(folder, keeping(BOUND));
    JournalReader primary = journal.primaryReader();
    Thread appender =
        Thread.ofVirtual()
            .start(() -> {
              fill(journal, 500);
              journal.append(TIME, finished());
            });

    await().until(() -> appender.getState() == Thread.State.WAITING);

    long held = journal.lastSequence();
    assertThat(held * CHUNK).isBetween(BOUND - 5 * CHUNK, BOUND);
    List<NumberedEvent> all = readToEnd(primary);
    assertThat(appender.join(SOON)).isTrue();
    assertThat(all).hasSize(501);
    assertThat(all.getFirst().sequence()).isEqualTo(1);
  }

  @Test
  void detachingThePrimaryReleasesTheAppender() throws Exception {
    Journal journal = new Journal(folder, keeping(BOUND));
    JournalReader primary = journal.primaryReader();
    Thread appender = Thread.ofVirtual().start(() -> fill(journal, 500));
    await().until(() -> appender.getState() == Thread.State.WAITING);

    primary.close();

    assertThat(appender.join(SOON)).isTrue();
    assertThat(journal.lastSequence()).isEqualTo(500);
    assertThat(journal.firstKept()).isGreaterThan(1);
  }

  @Test
  void aStalledReaderHoldsUpNeitherTheAppenderNorOthers() throws Exception {
    Journal journal = new Journal(folder, keeping(BOUND));
    JournalReader primary = journal.primaryReader();
    JournalReader stalled = journal.reader(0);
    fill(journal, 1);
    assertThat(stalled.next(SOON)).isPresent();
    Thread appender =
        Thread.ofVirtual()
            .start(() -> {
              fill(journal, 499);
              journal.append(TIME, finished());
            });

    List<NumberedEvent> all = readToEnd(primary);

    assertThat(appender.join(SOON)).isTrue();
    assertThat(all).hasSize(501);
    assertThatExceptionOfType(SandkeeperException.class)
        .isThrownBy(() -> readToEnd(stalled))
        .satisfies(
            refusal -> assertThat(refusal.reason()).isEqualTo(ErrorReason.SEQUENCE_NOT_KEPT));
  }

  @Test
  void readersThatFollowALiveJournalSeeEveryEventOnce() throws Exception {
    Journal journal = new Journal(folder, keeping(16 << 20));
    CountDownLatch ready = new CountDownLatch(4);
    List<FutureTask<List<NumberedEvent>>> readers = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      FutureTask<List<NumberedEvent>> reader =
          new FutureTask<>(() -> {
            ready.countDown();
            return readToEnd(journal.reader(0));
          });
      readers.add(reader);
      Thread.ofVirtual().start(reader);
    }
    assertThat(ready.await(SOON.toSeconds(), TimeUnit.SECONDS)).isTrue();
    fill(journal, 3000);
    journal.append(TIME, finished());

    for (FutureTask<List<NumberedEvent>> reader : readers) {
      List<NumberedEvent> seen = reader.get(SOON.toSeconds(), TimeUnit.SECONDS);
      assertThat(seen).hasSize(3001);
      for (int i = 0; i < seen.size(); i++) {
        assertThat(seen.get(i).sequence()).isEqualTo(i + 1);
      }
    }
  }

  @Test
  void deletingEndsReadersAndReleasesTheAppender() throws Exception {
    Journal journal = new Journal(Files.createDirectory(folder.resolve("journal")), keeping(BOUND));
    JournalReader primary = journal.primaryReader();
    Thread appender = Thread.ofVirtual().start(() -> fill(journal, 500));
    await().until(() -> appender.getState() == Thread.State.WAITING);
    JournalReader waiting = journal.reader(journal.lastSequence());
    AtomicBoolean waits = new AtomicBoolean();
    FutureTask<Optional<NumberedEvent>> next =
        new FutureTask<>(() -> {
          waits.set(true);
          return waiting.next(SOON);
        });
    Thread reader = Thread.ofVirtual().start(next);
    await().until(() -> waits.get() && reader.getState() == Thread.State.TIMED_WAITING);

    journal.delete();

    assertThat(next.get(SOON.toSeconds(), TimeUnit.SECONDS)).isEmpty();
    assertThat(waiting.ended()).isTrue();
    assertThat(appender.join(SOON)).isTrue();
    assertThatExceptionOfType(SandkeeperException.class)
        .isThrownBy(() -> primary.next(Duration.ZERO))
        .satisfies(
            refusal -> assertThat(refusal.reason()).isEqualTo(ErrorReason.SEQUENCE_NOT_KEPT));
    assertThat(folder.resolve("journal")).doesNotExist();
  }

  @Test
  void aSilentJournalSaysNothingAndHasNotEnded() throws Exception {
    JournalReader reader = new Journal(folder, keeping(BOUND)).reader(0);

    assertThat(reader.next(Duration.ofMillis(1))).isEmpty();
    assertThat(reader.ended()).isFalse();
  }

  @Test
  void behindTheLastEventThereIsTheEnd() throws Exception {
    Journal journal = new Journal(folder, keeping(BOUND));
    journal.append(TIME, finished());
    JournalReader reader = journal.reader(1);

    assertThat(reader.next(SOON)).isEmpty();
    assertThat(reader.ended()).isTrue();
  }

  private final Map<Journal, Integer> filled = new HashMap<>();

  /** Appends chunks of standard output that carry on where the last call stopped. */
  @Test
  void whereverAServerIsKilledTheNextGoesOnWithTheSameEvents() throws Exception {
    Path whole = Files.createDirectory(folder.resolve("whole"));
    Journal first = new Journal(whole, keeping(16 << 20));
    first.append(TIME, started());
    write(first, OutputStreamKind.STDOUT, ByteBuffer.wrap(new byte[] {1, 2, 3}), 0);
    first.append(TIME, new ExecutionEvent.BudgetWarning("7", NanoUsd.ZERO, TIME));
    write(first, OutputStreamKind.STDERR, ByteBuffer.wrap(new byte[] {4}), 0);
    first.append(TIME, finished());
    byte[] file = Files.readAllBytes(whole.resolve("1.events"));
    List<Long> told = List.of(0L, 1L, 2L, 2L, 3L, 3L);

    for (int cut = 0; cut <= file.length; cut++) {
      Path left = Files.createDirectory(folder.resolve("cut-" + cut));
      Files.write(left.resolve("1.events"), Arrays.copyOf(file, cut));
      Journal journal = Journal.load(left, keeping(16 << 20));
      int events = Math.toIntExact(journal.lastSequence());
      assertThat(journal.told()).as("cut at %d", cut).isEqualTo(told.get(events));
      if (events < 5) {
        write(journal, OutputStreamKind.STDOUT, ByteBuffer.wrap(new byte[] {9}), 3);
      }
      journal.append(TIME, finished());

      List<NumberedEvent> all = readToEnd(journal.reader(0));

      assertThat(all).as("cut at %d", cut).hasSize(events < 5 ? events + 2 : 5);
      assertThat(all.getLast().event()).isInstanceOf(ExecutionEvent.Finished.class);
      for (int i = 0; i < all.size(); i++) {
        assertThat(all.get(i).sequence()).isEqualTo(i + 1);
      }
    }
  }

  @Test
  void whatWasDroppedAtTheBoundStaysNamedAfterAKill() throws Exception {
    Journal before = new Journal(folder, keeping(BOUND));
    fill(before, 3 * (int) BOUND / CHUNK);

    Journal journal = Journal.load(folder, keeping(BOUND));
    assertThat(journal.firstKept()).isEqualTo(before.firstKept()).isGreaterThan(1);
    assertThat(journal.lastSequence()).isEqualTo(before.lastSequence());
    assertThat(OutputHashes.of(journal)).isEmpty();
    fill(journal, 3 * (int) BOUND / CHUNK);
    journal.append(TIME, finished());

    assertThat(journal.firstKept()).isGreaterThan(before.lastSequence());
    List<NumberedEvent> kept = readToEnd(journal.reader(journal.firstKept() - 1));
    assertThat(kept.getFirst().sequence()).isEqualTo(journal.firstKept());
    assertThat(kept.getLast().event()).isInstanceOf(ExecutionEvent.Finished.class);
  }

  @Test
  void theHashesOfAJournalFromItsBeginningGoOn() throws Exception {
    Journal before = new Journal(folder, keeping(16 << 20));
    write(before, OutputStreamKind.STDOUT, ByteBuffer.wrap(new byte[] {1, 2, 3}), 0);
    OutputHash expected = new OutputHash();
    expected.update(ByteBuffer.wrap(new byte[] {1, 2, 3, 4}));

    OutputHashes hashes = OutputHashes.of(Journal.load(folder, keeping(16 << 20))).orElseThrow();
    hashes.of(OutputStreamKind.STDOUT).update(ByteBuffer.wrap(new byte[] {4}));

    assertThat(hashes.stdout().finish()).usingRecursiveComparison().isEqualTo(expected.finish());
    assertThat(hashes.stderr().finish().bytes()).isZero();
  }

  private static Retention keeping(long bytes) {
    return new Retention(bytes, Duration.ofMinutes(10));
  }

  private static ExecutionEvent started() {
    return new ExecutionEvent.Started(new ExecutionId("abcdefghij0123456789"), 7);
  }

  private void fill(Journal journal, int chunks) {
    int before;
    synchronized (filled) {
      before = filled.getOrDefault(journal, 0);
      filled.put(journal, before + chunks);
    }
    for (int i = before; i < before + chunks; i++) {
      byte[] chunk = new byte[CHUNK];
      write(journal, OutputStreamKind.STDOUT, ByteBuffer.wrap(chunk), (long) i * CHUNK);
    }
  }

  private long keptBytes() throws Exception {
    long bytes = 0;
    try (var files = Files.list(folder)) {
      for (Path file : files.toList()) {
        bytes += Files.size(file);
      }
    }
    return bytes;
  }

  private static ExecutionEvent finished() {
    return new ExecutionEvent.Finished(
        ExecutionEnd.of(ExecutionEnd.Reason.COMPLETED), Duration.ofSeconds(1), new NanoUsd(7));
  }

  private static List<NumberedEvent> readToEnd(JournalReader reader) throws InterruptedException {
    List<NumberedEvent> events = new ArrayList<>();
    while (!reader.ended()) {
      reader.next(SOON).ifPresent(events::add);
    }
    reader.close();
    return events;
  }

  /** Puts the output of one stream together and checks that each piece is where it says. */
  private static byte[] bytes(List<NumberedEvent> events, OutputStreamKind kind) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    long next = -1;
    for (NumberedEvent event : events) {
      if (event.event() instanceof ExecutionEvent.Output output && output.kind() == kind) {
        if (next >= 0) {
          assertThat(output.offset()).isEqualTo(next);
        }
        next = output.offset() + output.data().length;
        bytes.writeBytes(output.data());
      }
    }
    return bytes.toByteArray();
  }

  private static void write(Journal journal, OutputStreamKind kind, ByteBuffer bytes, long offset) {
    journal.awaitPrimary();
    journal.append(TIME, kind, bytes, offset, 1);
  }
}
