package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
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

/** Sends a journal's events to callers, whichever way they come. */
public final class EventStream {
  private final Duration heartbeat;
  private final BillingClock clock;
  private final OpenStreams openStreams;

  /**
   * Makes the streams.
   *
   * @param heartbeat after how long a silence a sign of life is sent
   */
  public EventStream(Duration heartbeat, BillingClock clock, OpenStreams openStreams) {
    this.heartbeat = heartbeat;
    this.clock = clock;
    this.openStreams = openStreams;
  }

  /**
   * Begins to send to one caller, and returns at once. The reader is closed at the end.
   *
   * @param response wraps an event
   */
  <R> void start(
      Principal principal,
      JournalReader reader,
      ServerCallStreamObserver<R> observer,
      Function<ExecutionEvent, R> response) {
    PacedSender<R> sender = new PacedSender<>(observer);
    sender.start(() -> {
      try (reader) {
        follow(principal, reader, () -> {}, event -> sender.send(response.apply(event)));
      }
    });
  }

  /**
   * Begins to send to one caller, with a message before the events and one behind them, and returns
   * at once. The reader is closed at the end.
   *
   * @param first what the caller learns before any event
   * @param response wraps an event
   * @param last waits, behind the last event, for what the stream ends with
   */
  <R> void start(
      Principal principal,
      JournalReader reader,
      ServerCallStreamObserver<R> observer,
      R first,
      Function<ExecutionEvent, R> response,
      Last<R> last) {
    PacedSender<R> sender = new PacedSender<>(observer);
    sender.start(() -> {
      try (reader) {
        openStreams.run(
            principal,
            () -> {
              sender.send(first);
              follow(reader, () -> {}, event -> sender.send(response.apply(event)));
              sender.send(last.await());
            });
      }
    });
  }

  /**
   * Refuses a stream that would be one too many, before what it shows is started.
   *
   * @throws SandkeeperException as {@link OpenStreams#register} does
   */
  public void requireRoom(Principal principal) {
    openStreams.requireRoom(principal);
  }

  /** What a stream ends with. */
  @FunctionalInterface
  interface Last<R> {
    /** Waits for it. */
    R await() throws InterruptedException;
  }

  /**
   * Sends what there is and then what comes, until `finished`. Heartbeats are among it.
   *
   * @param open called once, before the first event is there, unless the caller has had them all
   * @param send takes an event; may block
   * @throws SandkeeperException {@link ErrorReason#SEQUENCE_NOT_KEPT} when the events are gone, and
   *     what {@link OpenStreams} ends a stream with
   * @throws InterruptedException when the caller is gone
   */
  public void follow(
      Principal principal, JournalReader reader, Runnable open, Consumer<ExecutionEvent> send)
      throws InterruptedException {
    openStreams.run(principal, () -> follow(reader, open, send));
  }

  private void follow(JournalReader reader, Runnable open, Consumer<ExecutionEvent> send)
      throws InterruptedException {
    Optional<NumberedEvent> event = reader.next(Duration.ZERO);
    if (event.isEmpty() && reader.ended()) {
      return;
    }
    open.run();
    while (true) {
      if (event.isPresent()) {
        send.accept(ExecutionMapper.toProto(event.get()));
        if (event.get().event() instanceof Finished) {
          return;
        }
      }
      event = reader.next(heartbeat);
      if (event.isEmpty()) {
        if (reader.ended()) {
          throw SandkeeperException.of(
              ErrorReason.SEQUENCE_NOT_KEPT,
              "The events are no longer kept; GetExecution says how the execution ended.");
        }
        send.accept(ExecutionMapper.heartbeat(clock.now()));
      }
    }
  }
}
