package dev.sandkeeper.server.telemetry;

import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.server.AbstractHttpService;
import com.linecorp.armeria.server.ServiceRequestContext;
import java.util.concurrent.CompletableFuture;

/** Shows the metrics as Prometheus text, on the server's own port. */
public final class MetricsService extends AbstractHttpService {
  private static final MediaType CONTENT_TYPE = MediaType.parse(Telemetry.SCRAPE_CONTENT_TYPE);

  private final Telemetry telemetry;

  /** Shows the metrics of the given telemetry. */
  public MetricsService(Telemetry telemetry) {
    this.telemetry = telemetry;
  }

  @Override
  protected HttpResponse doGet(ServiceRequestContext context, HttpRequest request) {
    // The gauges ask the database, which is no work for an event loop.
    return HttpResponse.of(
        CompletableFuture.supplyAsync(
            () -> HttpResponse.of(HttpStatus.OK, CONTENT_TYPE, HttpData.wrap(telemetry.scrape())),
            context.blockingTaskExecutor()));
  }
}
