package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpResponseWriter;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.common.stream.ClosedStreamException;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.telemetry.Spans;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;

/**
 * A response that is sent piece by piece, no faster than the client takes it.
 *
 * <p>The work runs on a thread of its own, which is interrupted when the client is gone.
 */
final class StreamedResponse {
  private final HttpResponseWriter writer = HttpResponse.streaming();
  private final CompletableFuture<HttpResponse> begun = new CompletableFuture<>();
  private CompletableFuture<Void> taken = CompletableFuture.completedFuture(null);

  /** What sends; the response ends when it returns. */
  @FunctionalInterface
  interface Work {
    /** Sends the headers and everything else. */
    void run(StreamedResponse response) throws InterruptedException;
  }

  private StreamedResponse() {}

  /**
   * Starts the work and returns at once. What it throws before the headers becomes the answer;
   * behind them it breaks the response off, which the client sees.
   */
  static HttpResponse start(Work work) {
    StreamedResponse response = new StreamedResponse();
    Thread thread =
        Thread.ofVirtual()
            .name("streamed-response")
            .unstarted(Spans.carrying(() -> response.run(work)));
    HttpResponse answer = HttpResponse.of(response.begun);
    var _ = answer.whenComplete().whenComplete((_, _) -> thread.interrupt());
    thread.start();
    return answer;
  }

  /** Sends the headers, once and before anything else. */
  void begin(ResponseHeaders headers) {
    writer.write(headers);
    begun.complete(writer);
  }

  /** Says whether the headers are sent. */
  boolean hasBegun() {
    return begun.isDone();
  }

  /**
   * Sends the next bytes, after waiting for the client to take those before.
   *
   * @throws CancellationException when the client is gone
   */
  void send(HttpData data) {
    try {
      taken.get();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new CancellationException();
    } catch (ExecutionException e) {
      throw new CancellationException();
    }
    if (!writer.tryWrite(data)) {
      throw new CancellationException();
    }
    taken = writer.whenConsumed();
  }

  private void run(Work work) {
    try {
      work.run(this);
      writer.close();
    } catch (InterruptedException | RuntimeException e) {
      begun.completeExceptionally(e);
      // Behind the headers the client cannot be told why, and the log is told of faults here only.
      writer.close(e instanceof SandkeeperException ? new ClosedStreamException(e) : e);
    }
  }
}
