package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.ResponseHeaders;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.port.PortConnection;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufHolder;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.http.HttpClientCodec;
import io.netty.handler.codec.http.HttpDecoderConfig;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.ReferenceCountUtil;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CancellationException;
import java.util.function.Function;

/**
 * One request to a program in a sandbox and its answer, over a connection of its own: no program
 * can mix up the answers of two. Both ways no faster than the other side takes it.
 *
 * <p>What follows a request for a WebSocket is for the program only once it has switched: one that
 * has not would take it for a second request, whose headers nobody has looked at.
 */
final class PortExchange {
  /** The head of an answer: its status line, and all headers. */
  static final int MAX_HEAD_BYTES = 32 << 10;

  private static final int SWITCHING = 101;
  private static final int BUFFER_BYTES = 1 << 16;
  private static final byte[] LINE_END = {'\r', '\n'};
  private static final byte[] LAST_CHUNK = {'0', '\r', '\n', '\r', '\n'};

  private final PortConnection connection;
  private final io.netty.handler.codec.http.HttpRequest head;
  private final HttpRequest request;
  private final Function<HttpResponse, ResponseHeaders> outward;
  private final EmbeddedChannel codec =
      new EmbeddedChannel(
          new HttpClientCodec(
              new HttpDecoderConfig()
                  .setMaxInitialLineLength(MAX_HEAD_BYTES)
                  .setMaxHeaderSize(MAX_HEAD_BYTES)
                  .setMaxChunkSize(BUFFER_BYTES),
              false,
              false));

  private final Thread sender = Thread.ofVirtual().name("port-sender").unstarted(this::sendBody);
  private boolean switched;
  private boolean complete;

  /**
   * Prepares an exchange.
   *
   * @param head what the program is sent first
   * @param request whose body it is sent then
   * @param outward makes the headers for the client of those of the program
   */
  PortExchange(
      PortConnection connection,
      io.netty.handler.codec.http.HttpRequest head,
      HttpRequest request,
      Function<HttpResponse, ResponseHeaders> outward) {
    this.connection = connection;
    this.head = head;
    this.request = request;
    this.outward = outward;
  }

  /**
   * Sends the request and passes the answer on; closes the connection.
   *
   * @throws SandkeeperException {@link ErrorReason#PORT_FAILED} or {@link
   *     ErrorReason#DEADLINE_EXCEEDED} when the program gives no answer
   */
  void run(StreamedResponse response) {
    Thread reader = Thread.currentThread();
    connection.onIdle(reader::interrupt);
    try {
      sendHead();
      if (!asksToSwitch()) {
        sender.start();
      }
      receive(response);
    } catch (IOException e) {
      throw failed(e);
    } catch (CancellationException e) {
      throw connection.idle() ? failed(e) : e;
    } finally {
      connection.close();
      sender.interrupt();
      codec.finishAndReleaseAll();
    }
  }

  private boolean asksToSwitch() {
    return head.headers().contains("upgrade");
  }

  private void sendHead() throws IOException {
    codec.writeOutbound(head);
    for (ByteBuf bytes = codec.readOutbound(); bytes != null; bytes = codec.readOutbound()) {
      try {
        connection.write(bytes.nioBuffer());
      } finally {
        bytes.release();
      }
    }
  }

  private void receive(StreamedResponse response) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(BUFFER_BYTES);
    while (!complete) {
      int count = connection.read(buffer.clear());
      if (count < 0) {
        // It ends an answer without a length, and no other.
        codec.finish();
      } else {
        codec.writeInbound(Unpooled.copiedBuffer(buffer.flip()));
      }
      passOn(response);
      if (count < 0 && !switched && !complete) {
        throw new IOException("the program closed the connection before its answer was complete");
      }
      complete |= count < 0;
    }
  }

  private void passOn(StreamedResponse response) throws IOException {
    for (Object part = codec.readInbound(); part != null; part = codec.readInbound()) {
      try {
        take(part, response);
      } finally {
        ReferenceCountUtil.release(part);
      }
    }
  }

  private void take(Object part, StreamedResponse response) throws IOException {
    if (part instanceof HttpObject object && object.decoderResult().isFailure()) {
      throw new IOException("the program does not speak HTTP/1.1", object.decoderResult().cause());
    }
    if (part instanceof HttpResponse begun) {
      begin(begun, response);
    }
    switch (part) {
      case ByteBuf bytes -> send(bytes, response);
      case ByteBufHolder content -> send(content.content(), response);
      default -> {}
    }
    if (part instanceof LastHttpContent && response.hasBegun() && !switched) {
      complete = true;
    }
  }

  private void begin(HttpResponse begun, StreamedResponse response) throws IOException {
    if (begun.status().code() == SWITCHING) {
      if (!asksToSwitch() || !begun.headers().contains("upgrade", "websocket", true)) {
        throw new IOException("the program switched to what it was not asked for");
      }
      switched = true;
      sender.start();
    } else if (begun.status().codeClass() == HttpStatusClass.INFORMATIONAL) {
      return;
    }
    try {
      response.begin(outward.apply(begun));
    } catch (IllegalArgumentException e) {
      throw new IOException("the program's answer cannot be passed on", e);
    }
  }

  private static void send(ByteBuf bytes, StreamedResponse response) {
    if (bytes.isReadable()) {
      response.send(HttpData.wrap(ByteBufUtil.getBytes(bytes)));
    }
  }

  private void sendBody() {
    boolean chunked = HttpUtil.isTransferEncodingChunked(head);
    long left = switched || chunked ? Long.MAX_VALUE : HttpUtil.getContentLength(head, 0L);
    byte[] buffer = new byte[BUFFER_BYTES];
    try (InputStream body =
        request.toInputStream(part -> part instanceof HttpData data ? data : HttpData.empty())) {
      for (int count = body.read(buffer); count >= 0; count = body.read(buffer)) {
        if (count > left) {
          throw new IOException("more bytes than the request said");
        }
        left -= count;
        sendPart(ByteBuffer.wrap(buffer, 0, count), chunked);
      }
      if (switched) {
        connection.endOutput();
      } else if (chunked) {
        connection.write(ByteBuffer.wrap(LAST_CHUNK));
      } else if (left > 0) {
        throw new IOException("fewer bytes than the request said");
      }
    } catch (IOException | RuntimeException e) {
      // Half a request must not be taken for a whole one. Where the answer is complete, this is
      // late.
      connection.close();
    }
  }

  private void sendPart(ByteBuffer bytes, boolean chunked) throws IOException {
    if (!bytes.hasRemaining()) {
      return; // an empty chunk would be the last
    }
    if (chunked) {
      String size = Integer.toHexString(bytes.remaining()) + "\r\n";
      connection.write(ByteBuffer.wrap(size.getBytes(StandardCharsets.US_ASCII)));
    }
    connection.write(bytes);
    if (chunked) {
      connection.write(ByteBuffer.wrap(LINE_END));
    }
  }

  private SandkeeperException failed(Exception cause) {
    if (connection.idle()) {
      return SandkeeperException.of(
              ErrorReason.DEADLINE_EXCEEDED,
              "Nothing passed between the program in the sandbox and its client for too long.")
          .causedBy(cause);
    }
    return SandkeeperException.of(
            ErrorReason.PORT_FAILED,
            "The program in the sandbox broke off, or does not speak HTTP/1.1.")
        .causedBy(cause);
  }
}
