package dev.sandkeeper.server.transport;

import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http2.Http2ConnectionHandler;
import io.netty.handler.timeout.IdleStateEvent;
import io.netty.handler.timeout.IdleStateHandler;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * Finds out that an HTTP/2 client is gone without a word: asks it by a ping when nothing has come
 * from it for a while, and closes the connection when nothing comes for as long again.
 *
 * <p>Only what comes from the client counts. The library's own pings are put off by whatever the
 * server sends, and a stream whose client is gone can send for hours.
 */
final class PeerWatch extends IdleStateHandler {
  private static final long PAYLOAD = 0x736b_7069_6e67L; // the acknowledgement is not told apart

  PeerWatch(Duration interval) {
    super(interval.toNanos(), 0, 0, TimeUnit.NANOSECONDS);
  }

  @Override
  protected void channelIdle(ChannelHandlerContext context, IdleStateEvent event) {
    Http2ConnectionHandler http2 = context.pipeline().get(Http2ConnectionHandler.class);
    if (http2 == null) {
      return; // HTTP/1 has no such question.
    }
    if (event.isFirst()) {
      ChannelHandlerContext there = context.pipeline().context(http2);
      var _ = http2.encoder().writePing(there, false, PAYLOAD, there.newPromise());
      var _ = there.flush();
    } else {
      var _ = context.close();
    }
  }
}
