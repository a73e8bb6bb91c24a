package dev.sandkeeper.client;

import io.grpc.BindableService;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.UnaryOperator;

/** A server in the test's own process, with services written by the test. */
final class FakeServer implements AutoCloseable {
  private static final String KEY = "key-for-tests";

  private final Server server;
  private final List<Metadata> headers = new CopyOnWriteArrayList<>();

  FakeServer(BindableService... services) {
    InProcessServerBuilder builder =
        InProcessServerBuilder.forName(InProcessServerBuilder.generateName())
            .directExecutor()
            .intercept(new Recorder());
    for (BindableService service : services) {
      builder.addService(service);
    }
    try {
      server = builder.build().start();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  SandkeeperClient client() {
    return client(builder -> builder);
  }

  SandkeeperClient client(UnaryOperator<ClientBuilder> settings) {
    return settings
        .apply(SandkeeperClient.builder("unused").apiKey(KEY))
        .build(InProcessChannelBuilder.forAddress(server.getListenSockets().get(0)));
  }

  /** Returns the headers of the calls so far, in order. */
  List<Metadata> headers() {
    return headers;
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  private final class Recorder implements ServerInterceptor {
    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
        ServerCall<Q, A> call, Metadata metadata, ServerCallHandler<Q, A> next) {
      headers.add(metadata);
      return next.startCall(call, metadata);
    }
  }
}
