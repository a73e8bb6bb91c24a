package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Follows a journal. Belongs to one thread, but for {@link #close}, which any thread may call once.
 *
 * <p>It reads through a file of its own, so that a segment deleted meanwhile is still read to its
 * end, and no other reader can disturb it.
 */
public final class JournalReader implements AutoCloseable {
  private final Journal journal;
  private final ByteBuffer length = ByteBuffer.allocate(Integer.BYTES);
  private long nextSequence;
  private long knownLast;
  private boolean ended;
  private @Nullable FileChannel channel;
  private @Nullable Path file;
  private long fileSequence;
  private long filePosition;

  JournalReader(Journal journal, long afterSequence) {
    this.journal = journal;
    this.nextSequence = afterSequence + 1;
  }

  /**
   * Returns the next event, waiting for it at most the given time; empty when none came in time, or
   * when nothing will follow, which {@link #ended} tells apart.
   *
   * @throws SandkeeperException {@link ErrorReason#SEQUENCE_NOT_KEPT} when the event is gone, with
   *     the first one kept
   * @throws InterruptedException when the thread is interrupted while waiting
   */
  public Optional<NumberedEvent> next(Duration timeout) throws InterruptedException {
    if (nextSequence <= knownLast && channel != null) {
      NumberedEvent event = readFrom(channel);
      if (event != null) {
        return Optional.of(event);
      }
    }
    return switch (journal.locate(nextSequence, timeout.toNanos())) {
      case Journal.Position.Pending _ -> Optional.empty();
      case Journal.Position.End _ -> {
        ended = true;
        yield Optional.empty();
      }
      case Journal.Position.Gone gone -> throw notKept(nextSequence - 1, gone.firstKept());
      case Journal.Position.InFile position -> {
        knownLast = position.lastSequence();
        yield Optional.of(readIn(position));
      }
    };
  }

  /** Says whether the last event has been returned. */
  public boolean ended() {
    return ended;
  }

  /** Lets go of the journal; a program held back for this reader goes on. */
  @Override
  public void close() {
    journal.detach(this);
    closeFile();
  }

  private NumberedEvent readIn(Journal.Position.InFile position) {
    if (!position.file().equals(file) || channel == null) {
      closeFile();
      try {
        channel = FileChannel.open(position.file(), StandardOpenOption.READ);
      } catch (NoSuchFileException e) {
        throw notKept(nextSequence - 1, journal.firstKept()).causedBy(e);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      file = position.file();
      fileSequence = position.firstSequence();
      filePosition = 0;
    }
    NumberedEvent event = readFrom(channel);
    if (event == null) {
      throw new IllegalStateException("event " + nextSequence + " is not in " + position.file());
    }
    return event;
  }

  /** Reads up to the next event, or returns null at the end of the file. */
  private @Nullable NumberedEvent readFrom(FileChannel from) {
    try {
      while (true) {
        length.clear();
        if (!readFully(from, length, filePosition)) {
          return null;
        }
        int bytes = length.flip().getInt();
        long start = filePosition + Integer.BYTES;
        filePosition = start + bytes;
        fileSequence++;
        if (fileSequence - 1 < nextSequence) {
          continue;
        }
        ByteBuffer event = ByteBuffer.allocate(bytes);
        if (!readFully(from, event, start)) {
          throw new EOFException("event " + nextSequence + " is cut short");
        }
        NumberedEvent numbered = EventCodec.decode(event.flip());
        nextSequence++;
        journal.consumed(this, Integer.BYTES + bytes);
        return numbered;
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static boolean readFully(FileChannel from, ByteBuffer target, long position)
      throws IOException {
    long at = position;
    while (target.hasRemaining()) {
      int read = from.read(target, at);
      if (read < 0) {
        if (target.position() > 0) {
          throw new EOFException("the journal is cut short at " + at);
        }
        return false;
      }
      at += read;
    }
    return true;
  }

  /** Makes the refusal to go on behind an event whose successor is gone. */
  static SandkeeperException notKept(long afterSequence, long firstKept) {
    return SandkeeperException.of(
            ErrorReason.SEQUENCE_NOT_KEPT,
            "The events asked for are no longer kept; attach from the first one kept.")
        .with("afterSequence", afterSequence)
        .with("firstKeptSequence", firstKept);
  }

  private void closeFile() {
    FileChannel open = channel;
    channel = null;
    if (open != null) {
      try {
        open.close();
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }
}
