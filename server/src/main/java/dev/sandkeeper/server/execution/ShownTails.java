package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.engine.OutputStreamKind;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;

/**
 * The last that a journal has of each output stream.
 *
 * @param stdout at most {@link #MAX_BYTES}
 * @param stderr at most {@link #MAX_BYTES}
 */
record ShownTails(byte[] stdout, byte[] stderr) {
  /** As much as may be shown of a key before it is known for one. */
  private static final int MAX_BYTES = 2 * 1024;

  /** Reads what a journal has. */
  static ShownTails of(Journal journal) {
    byte[] stdout = {};
    byte[] stderr = {};
    try (JournalReader reader = journal.reader(journal.firstKept() - 1)) {
      for (Optional<NumberedEvent> next = reader.next(Duration.ZERO);
          next.isPresent();
          next = reader.next(Duration.ZERO)) {
        if (next.get().event() instanceof ExecutionEvent.Output output) {
          if (output.kind() == OutputStreamKind.STDOUT) {
            stdout = tail(stdout, output.data());
          } else {
            stderr = tail(stderr, output.data());
          }
        }
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    return new ShownTails(stdout, stderr);
  }

  private static byte[] tail(byte[] before, byte[] more) {
    byte[] all = Arrays.copyOf(before, before.length + more.length);
    System.arraycopy(more, 0, all, before.length, more.length);
    return Arrays.copyOfRange(all, Math.max(0, all.length - MAX_BYTES), all.length);
  }
}
