package dev.sandkeeper.server.transport;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.codec.http2.Http2CodecUtil;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Flags;
import io.netty.handler.codec.http2.Http2FrameTypes;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Tells a client that speaks without TLS, where TLS is spoken, so in its own protocol, and closes
 * the connection. Stands first in the pipeline until the first bytes have come.
 */
final class PlaintextRefusal extends ByteToMessageDecoder {
  private static final int TLS_HANDSHAKE = 0x16;
  private static final int HTTP2_PREFACE = 0x50524920; // "PRI "
  private static final int DECIDING_BYTES = 4;
  private static final Duration LINGER = Duration.ofSeconds(1);
  private static final byte[] REFUSAL =
      "This port speaks TLS only.\n".getBytes(StandardCharsets.US_ASCII);

  private boolean refused;

  @Override
  protected void decode(ChannelHandlerContext context, ByteBuf in, List<Object> out) {
    if (refused) {
      in.skipBytes(in.readableBytes());
      return;
    }
    if (in.getUnsignedByte(in.readerIndex()) == TLS_HANDSHAKE) {
      context.pipeline().remove(this); // which hands on what has come
      return;
    }
    if (in.readableBytes() < DECIDING_BYTES) {
      return;
    }
    ByteBuf answer = context.alloc().buffer();
    if (in.getInt(in.readerIndex()) == HTTP2_PREFACE) {
      writeHttp2(answer);
    } else if (Character.isUpperCase(in.getByte(in.readerIndex()))) {
      writeHttp1(answer);
    }
    in.skipBytes(in.readableBytes());
    refused = true;
    context.writeAndFlush(answer).addListener(_ -> linger(context));
  }

  /**
   * Closes only when the client has had time to read the answer, and takes what it still sends:
   * closed over unread bytes, the connection would be reset, and the answer lost.
   */
  private static void linger(ChannelHandlerContext context) {
    if (context.channel() instanceof DuplexChannel channel) {
      var _ = channel.shutdownOutput();
    }
    var _ =
        context
            .executor()
            .schedule(
                () -> {
                  var _ = context.close();
                },
                LINGER.toMillis(),
                TimeUnit.MILLISECONDS);
  }

  private static void writeHttp1(ByteBuf answer) {
    answer.writeCharSequence(
        "HTTP/1.1 400 Bad Request\r\n"
            + "content-type: text/plain\r\n"
            + "connection: close\r\n"
            + "content-length: "
            + REFUSAL.length
            + "\r\n\r\n",
        StandardCharsets.US_ASCII);
    answer.writeBytes(REFUSAL);
  }

  /** The settings, which must come first, and the end of the connection with its reason. */
  private static void writeHttp2(ByteBuf answer) {
    Http2CodecUtil.writeFrameHeader(answer, 0, Http2FrameTypes.SETTINGS, new Http2Flags(), 0);
    Http2CodecUtil.writeFrameHeader(
        answer, 2 * Integer.BYTES + REFUSAL.length, Http2FrameTypes.GO_AWAY, new Http2Flags(), 0);
    // The last stream that counts as seen: all, so that no client takes its call for worth
    // repeating.
    answer.writeInt(Integer.MAX_VALUE);
    answer.writeInt((int) Http2Error.INADEQUATE_SECURITY.code());
    answer.writeBytes(REFUSAL);
  }
}
