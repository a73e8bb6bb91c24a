package dev.sandkeeper.server.http;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.linecorp.armeria.common.AggregatedHttpRequest;
import com.linecorp.armeria.common.HttpData;
import com.linecorp.armeria.common.HttpHeaderNames;
import com.linecorp.armeria.common.HttpHeaders;
import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.HttpStatus;
import com.linecorp.armeria.common.MediaType;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.ResponseHeaders;
import com.linecorp.armeria.server.ServiceRequestContext;
import dev.sandkeeper.server.api.Calls;
import dev.sandkeeper.server.api.ErrorMapper;
import dev.sandkeeper.server.api.EventStream;
import dev.sandkeeper.server.api.ExecutionMapper;
import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.execution.Executions;
import dev.sandkeeper.server.execution.JournalReader;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecutionEvent;
import java.util.List;
import java.util.concurrent.CancellationException;

/**
 * Executions as server-sent events (WHATWG HTML, section 9.2): the id is the sequence number, so
 * that a browser goes on by itself; the event is the kind; the data is the ExecutionEvent as JSON.
 */
final class ExecutionRoutes {
  /** The last event of a stream that cannot go on; its data is a google.rpc.Status. */
  static final String FAILURE_EVENT = "failure";

  private static final String LAST_EVENT_ID = "last-event-id";
  private static final String AFTER = "after";
  private static final HttpData HEARTBEAT = HttpData.ofUtf8(": heartbeat\n\n");
  private static final ResponseHeaders EVENT_STREAM =
      ResponseHeaders.builder(HttpStatus.OK)
          .contentType(MediaType.EVENT_STREAM)
          .set(HttpHeaderNames.CACHE_CONTROL, "no-store")
          .set("x-accel-buffering", "no") // or a proxy would keep events until it has many
          .build();

  private final Calls calls;
  private final Executions executions;
  private final EventStream events;

  ExecutionRoutes(Calls calls, Executions executions, EventStream events) {
    this.calls = calls;
    this.executions = executions;
    this.events = events;
  }

  /** Runs what the body asks for, and streams its events. */
  HttpResponse execute(ServiceRequestContext context, AggregatedHttpRequest request) {
    Principal principal = calls.begin(context, Scope.RUN);
    QueryParameters.requireOnly(context.queryParams());
    JsonCalls.requireJson(request);
    ExecuteRequest.Builder execute = ExecuteRequest.newBuilder();
    ProtoJson.parse(request.content().array(), execute);
    if (!execute.getSandboxId().isEmpty()) {
      throw SandkeeperException.invalidField("sandbox_id", "given (expected: in the path only)");
    }
    execute.setSandboxId(context.pathParam("sandbox_id"));
    calls.validate(execute.build());
    events.requireRoom(principal);
    return stream(
        context,
        principal,
        executions.execute(principal, ExecutionMapper.fromProto(execute.build())));
  }

  /** Streams the events of an execution behind the one that the caller had last. */
  HttpResponse attach(ServiceRequestContext context, RequestHeaders headers) {
    Principal principal = calls.begin(context, Scope.READ);
    QueryParameters.requireOnly(context.queryParams(), AFTER);
    AttachExecutionRequest attach =
        AttachExecutionRequest.newBuilder()
            .setExecutionId(context.pathParam("execution_id"))
            .setAfterSequence(after(context, headers))
            .build();
    calls.validate(attach);
    return stream(
        context,
        principal,
        executions.attach(
            principal, new ExecutionId(attach.getExecutionId()), attach.getAfterSequence()));
  }

  /** The header wins: a browser that comes again sends it along with the path it first had. */
  private static long after(ServiceRequestContext context, HttpHeaders headers) {
    List<String> header = headers.getAll(LAST_EVENT_ID);
    List<String> parameter = context.queryParams().getAll(AFTER);
    long byHeader = header.isEmpty() ? 0 : sequence(LAST_EVENT_ID, header);
    long byParameter = parameter.isEmpty() ? 0 : sequence(AFTER, parameter);
    return header.isEmpty() ? byParameter : byHeader;
  }

  private static long sequence(String name, List<String> values) {
    String value = String.join(", ", values);
    if (!value.matches("[0-9]{1,18}")) {
      throw SandkeeperException.invalidField(
          name, value + " (expected: the sequence number of the last event had, 0 for none)");
    }
    return Long.parseLong(value);
  }

  private HttpResponse stream(
      ServiceRequestContext context, Principal principal, JournalReader reader) {
    return StreamedResponse.start(response -> {
      try (reader) {
        events.follow(
            principal,
            reader,
            () -> response.begin(EVENT_STREAM),
            event -> response.send(frame(event)));
        if (!response.hasBegun()) {
          // There is nothing more to come: this keeps a browser from asking again and again.
          response.begin(ResponseHeaders.of(HttpStatus.NO_CONTENT));
        }
      } catch (RuntimeException e) {
        boolean abandoned =
            e instanceof CancellationException || Thread.currentThread().isInterrupted();
        if (!response.hasBegun() || abandoned) {
          throw e;
        }
        response.send(
            HttpData.ofUtf8(
                "event: %s\ndata: %s\n\n"
                    .formatted(FAILURE_EVENT, ProtoJson.print(ErrorMapper.status(context, e)))));
      }
    });
  }

  private static HttpData frame(ExecutionEvent event) {
    if (event.hasHeartbeat()) {
      return HEARTBEAT;
    }
    FieldDescriptor kind =
        event.getOneofFieldDescriptor(event.getDescriptorForType().getOneofs().getFirst());
    return HttpData.ofUtf8(
        "id: %d\nevent: %s\ndata: %s\n\n"
            .formatted(event.getSequence(), kind.getName(), ProtoJson.print(event)));
  }
}
