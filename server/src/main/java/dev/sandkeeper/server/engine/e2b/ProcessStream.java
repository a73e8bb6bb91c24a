package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.stream.StreamMessage;
import java.nio.ByteBuffer;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.reactivestreams.Subscriber;
import org.reactivestreams.Subscription;

/**
 * What the daemon tells of one process, as long as somebody reads: a reader that is slow slows the
 * process down. One thread reads. Closing it does not end the process.
 */
final class ProcessStream implements AutoCloseable {

  /** How many pieces of the answer may wait for the reader. */
  private static final int MAX_WAITING = 8;

  private final String what;
  private final HttpResponse response;
  private final ConnectDecoder decoder = new ConnectDecoder();
  private final Body body = new Body();

  ProcessStream(String what, HttpResponse response, StreamMessage<HttpData> data) {
    this.what = what;
    this.response = response;
    data.subscribe(body);
  }

  /** A piece of the answer, or how it ended. */
  private sealed interface Piece {
    record Bytes(HttpData data) implements Piece {}

    record Over(Optional<Throwable> failure) implements Piece {}
  }

  /** Asks for as many pieces as there is room for. */
  private static final class Body implements Subscriber<HttpData> {
    private final BlockingQueue<Piece> pieces = new LinkedBlockingQueue<>();
    private final AtomicReference<@Nullable Subscription> subscription = new AtomicReference<>();

    @Override
    public void onSubscribe(Subscription s) {
      subscription.set(s);
      s.request(MAX_WAITING);
    }

    @Override
    public void onNext(HttpData data) {
      pieces.add(new Piece.Bytes(data));
    }

    @Override
    public void onError(Throwable failure) {
      pieces.add(new Piece.Over(Optional.of(failure)));
    }

    @Override
    public void onComplete() {
      pieces.add(new Piece.Over(Optional.empty()));
    }

    Piece take() throws InterruptedException {
      Piece piece = pieces.take();
      Subscription s = subscription.get();
      if (piece instanceof Piece.Bytes && s != null) {
        s.request(1);
      }
      return piece;
    }
  }

  /**
   * Waits for the next event.
   *
   * @return empty at the end of the stream
   * @throws E2bException when the stream broke off, or ended with an error
   */
  Optional<ProcessEvent> next() {
    try {
      while (true) {
        Optional<JsonNode> message = decoder.next();
        if (message.isPresent()) {
          return Optional.of(ProcessEvent.read(message.get()));
        }
        switch (body.take()) {
          case Piece.Bytes(HttpData data) -> decoder.add(ByteBuffer.wrap(data.array()));
          case Piece.Over(Optional<Throwable> failure) -> {
            end(failure);
            return Optional.empty();
          }
        }
      }
    } catch (Json.MalformedException e) {
      close();
      throw E2bException.broken(what + ": the stream " + e.getMessage());
    } catch (InterruptedException e) {
      close();
      Thread.currentThread().interrupt();
      throw E2bException.unanswered(what + ": interrupted", true, e);
    }
  }

  private void end(Optional<Throwable> failure) {
    // Who ends a stream by its last message may cut the connection any way.
    if (decoder.ended()) {
      body.pieces.add(new Piece.Over(Optional.empty()));
      return;
    }
    body.pieces.add(new Piece.Over(failure));
    if (failure.isPresent()) {
      throw HttpCalls.unanswered(what + ": the stream broke", failure.get());
    }
    throw E2bException.broken(what + ": the stream broke off before its end");
  }

  /** Reads no more, and lets the connection go. */
  @Override
  public void close() {
    response.abort();
  }
}
