package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.redaction.Redaction;
import dev.sandkeeper.server.redaction.StreamRedactor;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * Redacts what a program writes on its way to the journal.
 *
 * <p>A chunk is written as a whole, once it is known that it ends within no key, and those behind
 * it wait: what the engine has told of is either in the journal or told again to the next server,
 * which then sees all of a key that was under way. They wait for {@link #HOLD_TIME} at most, and as
 * long as they are few.
 */
final class RedactedOutput {
  /** For how long a chunk waits; a person who types hardly sees it. */
  static final Duration HOLD_TIME = Duration.ofMillis(250);

  /** How much may wait behind a chunk; with one more chunk far less than an engine keeps. */
  private static final int MAX_WAITING_BYTES = 128 * 1024;

  /** What a chunk counts beside its bytes. */
  private static final int CHUNK_BYTES = 256;

  /** The most that an event has. */
  private static final int MAX_EVENT_BYTES = 256 * 1024;

  private final Supplier<Redaction> source;
  private final ScheduledExecutorService timer;
  private final Target target;

  // All below is guarded by this.
  private final StreamRedactor stdout;
  private final StreamRedactor stderr;
  private final Deque<Chunk> waiting = new ArrayDeque<>();
  private long waitingBytes;
  private int unwritten;
  private boolean timed;
  private boolean closed;

  /** Where the output goes. */
  @FunctionalInterface
  interface Target {
    /**
     * Takes output to keep. Does not block.
     *
     * @param offset how many bytes the program had written to the stream before
     * @param bytes not empty
     * @param told how many chunks more have been written with it
     */
    void write(OutputStreamKind kind, long offset, ByteBuffer bytes, int told);
  }

  private record Chunk(
      OutputStreamKind kind,
      long offset,
      int bytes,
      ByteArrayOutputStream shown,
      long sinceNanos) {}

  /**
   * Redacts output.
   *
   * @param source what is looked for, which may come to be more
   */
  RedactedOutput(Supplier<Redaction> source, ScheduledExecutorService timer, Target target) {
    this.source = source;
    this.timer = timer;
    this.target = target;
    Redaction redaction = source.get();
    this.stdout = new StreamRedactor(redaction);
    this.stderr = new StreamRedactor(redaction);
  }

  /** Returns what is redacted now. */
  synchronized Redaction redaction() {
    return source.get();
  }

  /** Goes on behind what an earlier server wrote: it may have ended within a key. */
  synchronized void resume(ShownTails tails) {
    stdout.resume(tails.stdout());
    stderr.resume(tails.stderr());
  }

  /** Takes a chunk, which is valid during the call only. */
  synchronized void write(OutputStreamKind kind, long offset, ByteBuffer chunk) {
    byte[] bytes;
    int from;
    int count = chunk.remaining();
    if (chunk.hasArray()) {
      bytes = chunk.array();
      from = chunk.arrayOffset() + chunk.position();
    } else {
      bytes = new byte[count];
      from = 0;
      chunk.duplicate().get(bytes);
    }
    StreamRedactor redactor = kind == OutputStreamKind.STDOUT ? stdout : stderr;
    redactor.use(source.get());
    if (waiting.isEmpty() && redactor.passes(bytes, from, from + count)) {
      writeNow(kind, offset, chunk);
      return;
    }
    Chunk taken =
        new Chunk(kind, offset, count, new ByteArrayOutputStream(count), System.nanoTime());
    redactor.accept(bytes, from, from + count, taken.shown());
    waiting.add(taken);
    waitingBytes += count + CHUNK_BYTES;
    writeKnown();
    if (!waiting.isEmpty()
        && waitingBytes - waiting.getFirst().bytes() - CHUNK_BYTES > MAX_WAITING_BYTES) {
      letGo();
    }
    startTimer();
  }

  /** Writes all that waits; of a key whose beginning is written the rest will not be. */
  synchronized void letGo() {
    stdout.letGo();
    stderr.letGo();
    writeKnown();
  }

  /** Returns how many of the chunks taken last have not been written. */
  synchronized int behind() {
    return waiting.size() + unwritten;
  }

  /** Notes that something else was told, and written, behind all that was taken. */
  synchronized int takeUnwritten() {
    int count = unwritten;
    unwritten = 0;
    return count;
  }

  /** Writes nothing more by itself: what waits is told to the next server again. */
  synchronized void close() {
    closed = true;
  }

  private void writeKnown() {
    Optional<ByteArrayOutputStream> firstOfStdout = stdout.pending();
    Optional<ByteArrayOutputStream> firstOfStderr = stderr.pending();
    while (!waiting.isEmpty()) {
      Chunk first = waiting.getFirst();
      Optional<ByteArrayOutputStream> itself = Optional.of(first.shown()); // equal to no other
      if (firstOfStdout.equals(itself) || firstOfStderr.equals(itself)) {
        return;
      }
      waiting.removeFirst();
      waitingBytes -= first.bytes() + CHUNK_BYTES;
      writeNow(first.kind(), first.offset(), ByteBuffer.wrap(first.shown().toByteArray()));
    }
  }

  private void writeNow(OutputStreamKind kind, long offset, ByteBuffer shown) {
    unwritten++;
    for (int at = 0; at < shown.remaining(); at += MAX_EVENT_BYTES) {
      int count = Math.min(MAX_EVENT_BYTES, shown.remaining() - at);
      boolean isLast = at + count == shown.remaining();
      int told = isLast ? takeUnwritten() : 0;
      target.write(kind, offset + at, shown.slice(shown.position() + at, count), told);
    }
  }

  private void startTimer() {
    if (timed || closed || waiting.isEmpty()) {
      return;
    }
    long left = waiting.getFirst().sinceNanos() + HOLD_TIME.toNanos() - System.nanoTime();
    try {
      var _ = timer.schedule(this::look, Math.max(0, left), TimeUnit.NANOSECONDS);
      timed = true;
    } catch (RejectedExecutionException _) {
      // The server stops.
    }
  }

  private synchronized void look() {
    timed = false;
    if (closed || waiting.isEmpty()) {
      return;
    }
    if (System.nanoTime() - waiting.getFirst().sinceNanos() >= HOLD_TIME.toNanos()) {
      letGo();
    }
    startTimer();
  }
}
