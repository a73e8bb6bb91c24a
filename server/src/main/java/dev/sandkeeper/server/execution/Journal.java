package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.engine.OutputStreamKind;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.Optional;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Keeps the numbered events of one execution on disk, up to a bound, and hands them to readers.
 *
 * <p>One thread appends output; other events may come from any. Any number of {@link
 * JournalReader}s follow, each at its own pace. At most one of them is the primary, the stream that
 * started the execution: while it is attached and as much as the bound is unread by it, {@link
 * #awaitPrimary} waits, and so in the end does the program. Without a primary the oldest events go
 * at the bound; a reader that wanted them is told.
 *
 * <p>Events are in segment files named after their first sequence number, so that the oldest go by
 * deleting a file. They outlive the server: what the operating system was given is there for the
 * next one, and an event of which it was given a part was never there.
 */
final class Journal {
  private static final int SEGMENTS_PER_BOUND = 16;

  private final Path folder;
  private final Retention retention;
  private final long boundBytes;
  private final long segmentBytes;

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  // All below is guarded by the lock.
  private final Deque<JournalSegment> segments = new ArrayDeque<>();
  private @Nullable FileChannel tail;
  private long lastSequence;
  private long told;
  private long appendedBytes;
  private long keptBytes;
  private boolean sealed;
  private boolean released;
  private boolean finished;
  private boolean closed;
  private @Nullable JournalReader primary;
  private long primaryBytes;

  /**
   * Begins a journal.
   *
   * @param folder an existing folder of this journal's own
   * @param retention of which a sixteenth more bytes may be kept
   */
  Journal(Path folder, Retention retention) {
    this.folder = folder;
    this.retention = retention;
    this.boundBytes = retention.journalBytes();
    this.segmentBytes = Math.max(1, boundBytes / SEGMENTS_PER_BOUND);
  }

  /**
   * Takes up a journal that an earlier server left.
   *
   * @param folder as for the constructor
   * @throws IOException when it cannot be read
   */
  static Journal load(Path folder, Retention retention) throws IOException {
    Journal journal = new Journal(folder, retention);
    journal.segments.addAll(JournalSegment.left(folder));
    while (!journal.segments.isEmpty()) {
      JournalSegment newest = journal.segments.getLast();
      Optional<EventCodec.Head> last = newest.repair();
      if (last.isPresent()) {
        journal.lastSequence = last.get().sequence();
        journal.told = last.get().told();
        journal.finished = last.get().finished();
        break;
      }
      deleteFile(newest.file);
      journal.segments.removeLast();
    }
    for (JournalSegment segment : journal.segments) {
      journal.keptBytes += segment.bytes;
    }
    journal.appendedBytes = journal.keptBytes;
    return journal;
  }

  /** Deletes a journal's folder with all that is in it. */
  static void delete(Path folder) {
    try {
      try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
        for (Path file : files) {
          Files.deleteIfExists(file);
        }
      }
      Files.deleteIfExists(folder);
    } catch (NoSuchFileException _) {
      // It is gone.
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns what is kept. */
  Retention retention() {
    return retention;
  }

  /**
   * Appends output that the engine tells of, without waiting: see {@link #awaitPrimary}.
   *
   * @param toldMore how much more the engine has told of with it
   */
  void append(Instant time, OutputStreamKind kind, ByteBuffer data, long offset, int toldMore) {
    lock.lock();
    try {
      write(
          EventCodec.encodeOutput(lastSequence + 1, told + toldMore, time, kind, data, offset),
          toldMore);
    } finally {
      lock.unlock();
    }
  }

  /** Appends any other event, without waiting. */
  void append(Instant time, ExecutionEvent event) {
    append(time, event, event.toldByEngine() ? 1 : 0);
  }

  /**
   * Appends any other event, without waiting.
   *
   * @param toldMore how much more the engine has told of with it
   */
  void append(Instant time, ExecutionEvent event, int toldMore) {
    lock.lock();
    try {
      if (finished || (sealed && !(event instanceof ExecutionEvent.Finished))) {
        return;
      }
      NumberedEvent numbered = new NumberedEvent(lastSequence + 1, time, event);
      write(EventCodec.encode(numbered, told + toldMore), toldMore);
      if (event instanceof ExecutionEvent.Finished) {
        finished = true;
        closeTail();
      }
    } finally {
      lock.unlock();
    }
  }

  /**
   * Takes only one more event from now on, the last; what else would be added is dropped.
   *
   * @return the last event's number
   */
  long seal() {
    lock.lock();
    try {
      sealed = true;
      return lastSequence + 1;
    } finally {
      lock.unlock();
    }
  }

  /**
   * Holds the program back no longer, and drops nothing for what is still to come: the program is
   * over, so that is no more than what was under way.
   */
  void release() {
    lock.lock();
    try {
      released = true;
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /** Returns the number of the last event, 0 when there is none. */
  long lastSequence() {
    lock.lock();
    try {
      return lastSequence;
    } finally {
      lock.unlock();
    }
  }

  /** Returns how much of what the engine told of it has. */
  long told() {
    lock.lock();
    try {
      return told;
    } finally {
      lock.unlock();
    }
  }

  /** Returns a reader behind the given event. */
  JournalReader reader(long afterSequence) {
    return new JournalReader(this, afterSequence);
  }

  /** Returns a reader from the first event on that holds the program back when it is slow. */
  JournalReader primaryReader() {
    lock.lock();
    try {
      JournalReader reader = new JournalReader(this, 0);
      primary = reader;
      return reader;
    } finally {
      lock.unlock();
    }
  }

  /** Deletes everything kept; readers learn that it is gone. */
  void delete() {
    lock.lock();
    try {
      closed = true;
      closeTail();
      segments.clear();
      delete(folder);
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /** Forgets the reader; one that was the primary holds nothing back any more. */
  void detach(JournalReader reader) {
    lock.lock();
    try {
      if (primary == reader) {
        primary = null;
        changed.signalAll();
      }
    } finally {
      lock.unlock();
    }
  }

  /** Notes that the reader has taken that many bytes more. */
  void consumed(JournalReader reader, long bytes) {
    lock.lock();
    try {
      if (primary == reader) {
        primaryBytes += bytes;
        changed.signalAll();
      }
    } finally {
      lock.unlock();
    }
  }

  /** Where a reader finds its next event. */
  sealed interface Position {
    /** In this file, which may be deleted at any moment. */
    record InFile(Path file, long firstSequence, long lastSequence) implements Position {}

    /** Not there yet. */
    record Pending() implements Position {}

    /** Nothing will follow. */
    record End() implements Position {}

    /** Gone; {@code firstKept} is the first that is not. */
    record Gone(long firstKept) implements Position {}
  }

  /**
   * Says where the event is, waiting for it at most the given time.
   *
   * @param sequence the event's number
   * @param nanos how long to wait, 0 for not at all
   */
  Position locate(long sequence, long nanos) throws InterruptedException {
    lock.lockInterruptibly();
    try {
      long left = nanos;
      while (sequence > lastSequence && !finished && !closed && left > 0) {
        left = changed.awaitNanos(left);
      }
      if (sequence > lastSequence) {
        return finished || closed ? new Position.End() : new Position.Pending();
      }
      JournalSegment found = null;
      for (Iterator<JournalSegment> it = segments.descendingIterator();
          it.hasNext() && found == null; ) {
        JournalSegment segment = it.next();
        if (segment.firstSequence <= sequence) {
          found = segment;
        }
      }
      return found == null
          ? new Position.Gone(firstKept())
          : new Position.InFile(found.file, found.firstSequence, lastSequence);
    } finally {
      lock.unlock();
    }
  }

  /** Returns how many bytes of events are kept. */
  long keptBytes() {
    lock.lock();
    try {
      return keptBytes;
    } finally {
      lock.unlock();
    }
  }

  /** Returns the number of the first event still kept. */
  long firstKept() {
    lock.lock();
    try {
      return segments.isEmpty() ? lastSequence + 1 : segments.getFirst().firstSequence;
    } finally {
      lock.unlock();
    }
  }

  /** Waits while the primary is too far behind. */
  void awaitPrimary() {
    lock.lock();
    try {
      while (primary != null
          && !released
          && !closed
          && appendedBytes - primaryBytes >= boundBytes) {
        changed.awaitUninterruptibly();
      }
    } finally {
      lock.unlock();
    }
  }

  private void write(ByteBuffer[] buffers, int toldMore) {
    if (closed) {
      return; // the sandbox was swept away; whoever writes still learns of its end elsewhere
    }
    long bytes = 0;
    for (ByteBuffer buffer : buffers) {
      bytes += buffer.remaining();
    }
    try {
      JournalSegment segment = tailSegment();
      FileChannel channel = tail;
      for (long left = bytes; left > 0 && channel != null; ) {
        left -= channel.write(buffers);
      }
      segment.bytes += bytes;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    lastSequence++;
    told += toldMore;
    appendedBytes += bytes;
    keptBytes += bytes;
    dropOldest();
    changed.signalAll();
  }

  private JournalSegment tailSegment() throws IOException {
    JournalSegment last = segments.peekLast();
    if (last != null && tail != null && last.bytes < segmentBytes) {
      return last;
    }
    closeTail();
    long first = lastSequence + 1;
    JournalSegment segment = JournalSegment.begin(folder, first);
    tail = FileChannel.open(segment.file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    segments.addLast(segment);
    return segment;
  }

  private void dropOldest() {
    while (!released
        && segments.size() > 1
        && keptBytes - segments.getFirst().bytes >= boundBytes
        && isReadByPrimary(segments.getFirst())) {
      JournalSegment oldest = segments.removeFirst();
      keptBytes -= oldest.bytes;
      deleteFile(oldest.file);
    }
  }

  /** A chunk may reach past the bound; what the primary has not read stays all the same. */
  private boolean isReadByPrimary(JournalSegment oldest) {
    return primary == null || appendedBytes - keptBytes + oldest.bytes <= primaryBytes;
  }

  private void closeTail() {
    FileChannel channel = tail;
    tail = null;
    if (channel != null) {
      try {
        channel.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  private static void deleteFile(Path file) {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
