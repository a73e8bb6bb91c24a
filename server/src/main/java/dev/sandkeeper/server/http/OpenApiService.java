package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.server.AbstractHttpService;
import com.linecorp.armeria.server.ServiceRequestContext;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Shows the OpenAPI document to anybody. It is made when it is first asked for. */
final class OpenApiService extends AbstractHttpService {
  private final List<Binding> bindings;
  private volatile @Nullable HttpData document;

  OpenApiService(List<Binding> bindings) {
    this.bindings = bindings;
  }

  @Override
  protected HttpResponse doGet(ServiceRequestContext context, HttpRequest request) {
    return HttpResponse.of(
        CompletableFuture.supplyAsync(
            () -> HttpResponse.of(HttpStatus.OK, MediaType.JSON_UTF_8, document()),
            context.blockingTaskExecutor()));
  }

  private HttpData document() {
    HttpData made = document;
    if (made == null) {
      made = HttpData.ofUtf8(OpenApi.document(bindings));
      document = made;
    }
    return made;
  }
}
