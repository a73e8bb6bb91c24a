package dev.sandkeeper.server.fuzz;

import com.google.protobuf.Descriptors.MethodDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.InvalidProtocolBufferException;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Calls with any bytes as messages. */
final class RawCalls {
  /** What every refusal carries. */
  static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  private static final int PATIENCE_SECONDS = 20;
  private static final int MAX_MESSAGES = 100;
  private static final long LINGER_MILLIS = 100;

  private static final Marshaller<byte[]> BYTES =
      new Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException e) {
            throw new UncheckedIOException(e);
          }
        }
      };

  private RawCalls() {}

  /** What a call came to. */
  sealed interface Outcome {}

  /** The call ended. */
  record Ended(Status status, Metadata trailers) implements Outcome {}

  /** It still streams. */
  record Open() implements Outcome {}

  /** Nothing came. */
  record Hung() implements Outcome {}

  /**
   * Makes a call. One that streams its answers is left after some.
   *
   * @param known learns from the answers
   */
  static Outcome call(Channel channel, MethodDescriptor method, List<byte[]> requests, Known known)
      throws InterruptedException {
    ClientCall<byte[], byte[]> call =
        channel.newCall(method(method), CallOptions.DEFAULT.withDeadlineAfter(1, TimeUnit.HOURS));
    BlockingQueue<Optional<Ended>> events = new LinkedBlockingQueue<>();
    call.start(
        new ClientCall.Listener<>() {
          @Override
          public void onMessage(byte[] message) {
            learn(known, method, message);
            events.add(Optional.empty());
          }

          @Override
          public void onClose(Status status, Metadata trailers) {
            events.add(Optional.of(new Ended(status, trailers)));
          }
        },
        new Metadata());
    call.request(MAX_MESSAGES);
    for (byte[] request : requests) {
      call.sendMessage(request);
    }
    call.halfClose();
    try {
      for (int messages = 0; messages < MAX_MESSAGES; messages++) {
        boolean lingers = messages > 0 && method.isServerStreaming();
        Optional<Ended> event =
            lingers
                ? events.poll(LINGER_MILLIS, TimeUnit.MILLISECONDS)
                : events.poll(PATIENCE_SECONDS, TimeUnit.SECONDS);
        if (event == null) {
          return lingers ? new Open() : new Hung();
        }
        if (event.isPresent()) {
          return event.get();
        }
      }
      return new Open();
    } finally {
      call.cancel("seen enough", null);
    }
  }

  private static void learn(Known known, MethodDescriptor method, byte[] message) {
    try {
      DynamicMessage answer = DynamicMessage.parseFrom(method.getOutputType(), message);
      synchronized (known) {
        known.learn(answer);
      }
    } catch (InvalidProtocolBufferException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static io.grpc.MethodDescriptor<byte[], byte[]> method(MethodDescriptor method) {
    return io.grpc.MethodDescriptor.<byte[], byte[]>newBuilder()
        .setType(
            method.isClientStreaming()
                ? MethodType.CLIENT_STREAMING
                : method.isServerStreaming() ? MethodType.SERVER_STREAMING : MethodType.UNARY)
        .setFullMethodName(
            io.grpc.MethodDescriptor.generateFullMethodName(
                method.getService().getFullName(), method.getName()))
        .setRequestMarshaller(BYTES)
        .setResponseMarshaller(BYTES)
        .build();
  }
}
