package dev.sandkeeper.client;

import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.util.ArrayDeque;
import java.util.Optional;

/** The messages of one streaming answer, for one thread to read. */
final class MessageReader<A> implements AutoCloseable {
  private final CallerExecutor executor = new CallerExecutor();
  private final ArrayDeque<A> ready = new ArrayDeque<>();
  private final ServerStream<?, A> stream;
  private boolean ended;
  private Optional<SandkeeperException> failure = Optional.empty();

  private <Q> MessageReader(Streams streams, MethodDescriptor<Q, A> method, Q request) {
    ServerStream<Q, A> started =
        new ServerStream<>(
            streams.channel().newCall(method, streams.options().withExecutor(executor)));
    this.stream = started;
    started.start(request, new Listener());
  }

  /** Makes the call. */
  static <Q, A> MessageReader<A> open(Streams streams, MethodDescriptor<Q, A> method, Q request) {
    return new MessageReader<>(streams, method, request);
  }

  /**
   * Waits for the next message; empty when all were read and the call went well.
   *
   * @throws SandkeeperException when it did not
   */
  Optional<A> next() {
    while (ready.isEmpty() && !ended) {
      runNext();
    }
    A message = ready.poll();
    if (message != null) {
      stream.taken();
      return Optional.of(message);
    }
    if (failure.isPresent()) {
      throw failure.get();
    }
    return Optional.empty();
  }

  /** Ends the call, if it has not. */
  @Override
  public void close() {
    stream.cancel();
    executor.abandon();
  }

  private void runNext() {
    try {
      if (!executor.runNext()) {
        throw new IllegalStateException("closed");
      }
    } catch (InterruptedException e) {
      throw Calls.interrupted(e);
    }
  }

  private final class Listener extends ClientCall.Listener<A> {
    @Override
    public void onMessage(A message) {
      ready.add(message);
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      ended = true;
      if (!status.isOk()) {
        failure = Optional.of(SandkeeperException.of(status, trailers));
      }
    }
  }
}
