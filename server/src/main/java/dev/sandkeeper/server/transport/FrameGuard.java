package dev.sandkeeper.server.transport;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import io.netty.handler.codec.http2.Http2ConnectionHandler;
import io.netty.handler.codec.http2.Http2FrameTypes;

/**
 * Closes an HTTP/2 connection whose client makes the server answer more than it reads (floods of
 * pings and settings), or has it reset more streams than an honest client would (wrong frames on
 * streams it has just opened).
 *
 * <p>It stands next to the HTTP/2 codec and looks at the frames that the server sends: each begins
 * with 9 bytes, its length, type, flags and stream (RFC 9113, 4.1).
 */
final class FrameGuard extends ChannelOutboundHandlerAdapter {
  /** How many frames that answer may wait for the client to read. */
  static final int MAX_WAITING = 1_000;

  private static final int HEAD_BYTES = 9;
  private static final int TYPE_OFFSET = 3;

  private final ResetWindow resets = new ResetWindow(System::nanoTime);
  private boolean isHttp2;
  private int payloadLeft;
  private int waiting;

  @Override
  public void write(ChannelHandlerContext context, Object message, ChannelPromise promise) {
    ChannelPromise written = promise.unvoid();
    if (message instanceof ByteBuf bytes && isHttp2(context)) {
      look(context, bytes, written);
    }
    var _ = context.write(message, written);
  }

  private boolean isHttp2(ChannelHandlerContext context) {
    isHttp2 = isHttp2 || context.pipeline().get(Http2ConnectionHandler.class) != null;
    return isHttp2;
  }

  private void look(ChannelHandlerContext context, ByteBuf bytes, ChannelPromise written) {
    int index = bytes.readerIndex();
    while (index < bytes.writerIndex()) {
      if (payloadLeft == 0) {
        payloadLeft = bytes.getUnsignedMedium(index);
        frame(context, bytes.getByte(index + TYPE_OFFSET), written);
        index += HEAD_BYTES;
      }
      int here = Math.min(payloadLeft, bytes.writerIndex() - index);
      payloadLeft -= here;
      index += here;
    }
  }

  private void frame(ChannelHandlerContext context, byte type, ChannelPromise written) {
    boolean answers =
        type == Http2FrameTypes.PING
            || type == Http2FrameTypes.SETTINGS
            || type == Http2FrameTypes.RST_STREAM;
    if (!answers) {
      return;
    }
    waiting++;
    var _ = written.addListener(_ -> waiting--);
    if (waiting > MAX_WAITING || (type == Http2FrameTypes.RST_STREAM && !resets.allowsOneMore())) {
      var _ = context.close();
    }
  }
}
