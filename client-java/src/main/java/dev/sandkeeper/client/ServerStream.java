package dev.sandkeeper.client;

import io.grpc.ClientCall;
import io.grpc.Metadata;

/**
 * A call whose answer streams, no faster than it is taken: eight messages, of at most 256 KiB each,
 * may be on their way. Room for more is asked for by halves, as each asking wakes the transport.
 */
final class ServerStream<Q, A> {
  private static final int WINDOW = 8;

  private final ClientCall<Q, A> call;
  private int taken;

  ServerStream(ClientCall<Q, A> call) {
    this.call = call;
  }

  /** Sends the request; the listener's calls may begin before this returns. */
  void start(Q request, ClientCall.Listener<A> listener) {
    call.start(listener, new Metadata());
    call.request(WINDOW);
    call.sendMessage(request);
    call.halfClose();
  }

  /** Says that a message was taken; never called by two threads at once. */
  void taken() {
    taken++;
    if (taken >= WINDOW / 2) {
      call.request(taken);
      taken = 0;
    }
  }

  /** Resets the call. Any thread may call it. */
  void cancel() {
    call.cancel("closed by the client", null);
  }
}
