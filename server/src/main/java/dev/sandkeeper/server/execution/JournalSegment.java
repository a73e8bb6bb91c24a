package dev.sandkeeper.server.execution;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** A file of a journal's events, named after the number of its first one. */
final class JournalSegment {
  private static final String SUFFIX = ".events";

  final Path file;
  final long firstSequence;
  long bytes;

  private JournalSegment(Path file, long firstSequence, long bytes) {
    this.file = file;
    this.firstSequence = firstSequence;
    this.bytes = bytes;
  }

  /** Returns an empty segment, whose file is still to be made. */
  static JournalSegment begin(Path folder, long firstSequence) {
    return new JournalSegment(folder.resolve(firstSequence + SUFFIX), firstSequence, 0);
  }

  /** Returns what an earlier server left in a journal's folder, oldest first. */
  static List<JournalSegment> left(Path folder) throws IOException {
    List<JournalSegment> segments = new ArrayList<>();
    try (Stream<Path> files = Files.list(folder)) {
      for (Path file : (Iterable<Path>) files::iterator) {
        String name = file.getFileName().toString();
        if (!name.endsWith(SUFFIX)) {
          continue;
        }
        long first = Long.parseLong(name.substring(0, name.length() - SUFFIX.length()));
        segments.add(new JournalSegment(file, first, Files.size(file)));
      }
    }
    segments.sort(Comparator.comparingLong(segment -> segment.firstSequence));
    return segments;
  }

  /**
   * Cuts off what a killed server had written of one more event.
   *
   * @return the last event that is whole; empty when there is none
   */
  Optional<EventCodec.Head> repair() throws IOException {
    ByteBuffer all = ByteBuffer.wrap(Files.readAllBytes(file));
    Optional<EventCodec.Head> last = Optional.empty();
    int end = 0;
    while (all.limit() - end >= EventCodec.HEADER_BYTES) {
      EventCodec.Head head = EventCodec.head(all.position(end));
      if (all.limit() - end < head.bytes()) {
        break;
      }
      end += Math.toIntExact(head.bytes());
      last = Optional.of(head);
    }
    if (end < all.limit()) {
      try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
        channel.truncate(end);
      }
    }
    bytes = end;
    return last;
  }
}
