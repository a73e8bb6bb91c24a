package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.linecorp.armeria.common.AggregatedHttpResponse;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpRequestWriter;
import com.linecorp.armeria.common.HttpResponse;
import java.nio.ByteBuffer;
import java.util.Base64;
import java.util.concurrent.ExecutionException;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Input by one call, whose request goes on as long as something is written. */
final class StreamedInput implements ProcessInput {
  private final String what;
  private final HttpCalls.Target target;
  private final HttpRequestWriter request;
  private final HttpResponse response;
  private volatile boolean closed;

  /**
   * Begins with the message that says which process it is for.
   *
   * @param what the call, for messages
   * @param request that {@code response} answers
   * @param broken told once of the answer, which comes too early as long as this is not closed
   */
  StreamedInput(
      String what,
      HttpCalls.Target target,
      HttpRequestWriter request,
      HttpResponse response,
      JsonNode first,
      Consumer<E2bException> broken) {
    this.what = what;
    this.target = target;
    this.request = request;
    this.response = response;
    boolean ignored = request.tryWrite(HttpData.wrap(ConnectDecoder.envelope(Json.bytes(first))));
    var _ =
        response
            .aggregate()
            .whenComplete((answer, failure) -> {
              if (!closed) {
                broken.accept(why(answer, failure));
              }
            });
  }

  private E2bException why(@Nullable AggregatedHttpResponse answer, @Nullable Throwable failure) {
    if (failure != null) {
      return HttpCalls.unanswered(what, failure);
    }
    if (answer == null) {
      throw new IllegalArgumentException("neither an answer nor a failure");
    }
    byte[] body = answer.content().array();
    if (!answer.status().isSuccess()) {
      return HttpCalls.refusal(what, answer.headers(), body, target);
    }
    ConnectDecoder decoder = new ConnectDecoder();
    decoder.add(ByteBuffer.wrap(body));
    try {
      while (decoder.next().isPresent()) {
        // It says nothing; what counts is how the stream ends.
      }
      return E2bException.broken(what + ": the stream ended");
    } catch (E2bException e) {
      return e;
    } catch (Json.MalformedException e) {
      return E2bException.broken(what + ": the stream " + e.getMessage());
    }
  }

  @Override
  public void write(byte[] bytes) throws InterruptedException {
    ObjectNode message = Json.object();
    message
        .putObject("data")
        .putObject("input")
        .put("stdin", Base64.getEncoder().encodeToString(bytes));
    boolean ignored = request.tryWrite(HttpData.wrap(ConnectDecoder.envelope(Json.bytes(message))));
    try {
      request.whenConsumed().get();
    } catch (ExecutionException e) {
      throw HttpCalls.unanswered(what, e);
    }
  }

  @Override
  public void close() {
    closed = true;
    response.abort();
  }
}
