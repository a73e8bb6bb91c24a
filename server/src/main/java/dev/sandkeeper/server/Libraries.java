package dev.sandkeeper.server;

import build.buf.protovalidate.ValidatorFactory;
import com.linecorp.armeria.server.Server;
import com.linecorp.armeria.server.docs.DocService;
import com.linecorp.armeria.server.grpc.HttpJsonTranscodingOptions;
import com.linecorp.armeria.server.healthcheck.HealthCheckService;
import java.util.concurrent.CompletableFuture;

/**
 * The libraries between the port and the domain. Their classes take no less time to initialise than
 * the database takes to start, and need nothing of it.
 */
final class Libraries {
  private Libraries() {}

  /**
   * Initialises them beside what the caller does, which must not use them until it is done. Nothing
   * is kept of what is made.
   */
  static CompletableFuture<Void> initialise() {
    return CompletableFuture.runAsync(
        () -> {
          var _ = HttpJsonTranscodingOptions.of();
          var _ = Server.builder();
          var _ = ValidatorFactory.newBuilder().build();
          var _ = DocService.builder();
          var _ = HealthCheckService.builder();
        },
        task -> Thread.ofPlatform().daemon().name("libraries").start(task));
  }
}
