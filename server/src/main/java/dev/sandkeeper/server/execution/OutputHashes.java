package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.engine.OutputStreamKind;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Optional;

/**
 * Counts and hashes of all that an execution writes.
 *
 * @param stdout of standard output
 * @param stderr of standard error
 */
record OutputHashes(OutputHash stdout, OutputHash stderr) {

  /** Begins with nothing written. */
  OutputHashes() {
    this(new OutputHash(), new OutputHash());
  }

  /** Returns the one of a stream. */
  OutputHash of(OutputStreamKind kind) {
    return kind == OutputStreamKind.STDOUT ? stdout : stderr;
  }

  /** Returns those of what a journal has; empty when it does not go back to the first event. */
  static Optional<OutputHashes> of(Journal journal) {
    if (journal.firstKept() > 1) {
      return Optional.empty();
    }
    OutputHashes hashes = new OutputHashes();
    try (JournalReader reader = journal.reader(0)) {
      for (Optional<NumberedEvent> next = reader.next(Duration.ZERO);
          next.isPresent();
          next = reader.next(Duration.ZERO)) {
        if (next.get().event() instanceof ExecutionEvent.Output output) {
          hashes.of(output.kind()).update(ByteBuffer.wrap(output.data()));
        }
      }
      return Optional.of(hashes);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return Optional.empty();
    }
  }
}
