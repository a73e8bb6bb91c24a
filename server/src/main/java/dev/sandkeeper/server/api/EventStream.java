package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.execution.ExecutionEvent.Finished;
import dev.sandkeeper.server.execution.JournalReader;
import dev.sandkeeper.server.execution.NumberedEvent;
import dev.sandkeeper.v1.ExecutionEvent;
import io.grpc.stub.ServerCallStreamObserver;
import java.time.Duration;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.function.Function;

/** Sends a journal's events to callers. */
final class EventStream {
  private final Duration heartbeat;
  private final BillingClock clock;

  /**
   * Makes the streams.
   *
   * @param heartbeat after how long a silence a sign of life is sent
   */
  EventStream(Duration heartbeat, BillingClock clock) {
    this.heartbeat = heartbeat;
    this.clock = clock;
  }

  /**
   * Begins to send to one caller, and returns at once. The reader is closed at the end.
   *
   * @param response wraps an event
   */
  <R> void start(
      JournalReader reader,
      ServerCallStreamObserver<R> observer,
      Function<ExecutionEvent, R> response) {
    PacedSender<R> sender = new PacedSender<>(observer);
    sender.start(() -> {
      try (reader) {
        sendAll(reader, event -> sender.send(response.apply(event)));
      }
    });
  }

  private void sendAll(JournalReader reader, Consumer<ExecutionEvent> send)
      throws InterruptedException {
    boolean finished = false;
    boolean any = false;
    while (!finished) {
      Optional<NumberedEvent> event = reader.next(heartbeat);
      if (event.isPresent()) {
        any = true;
        finished = event.get().event() instanceof Finished;
        send.accept(ExecutionMapper.toProto(event.get()));
      } else if (!reader.ended()) {
        send.accept(ExecutionMapper.heartbeat(clock.now()));
      } else if (any) {
        throw SandkeeperException.of(
            ErrorReason.SEQUENCE_NOT_KEPT,
            "The events are no longer kept; GetExecution says how the execution ended.");
      } else {
        return; // the caller had the last event already
      }
    }
  }
}
