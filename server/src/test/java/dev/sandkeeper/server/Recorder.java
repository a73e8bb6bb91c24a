package dev.sandkeeper.server;

import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;

/**
 * Takes all that a call answers, and how it ends.
 *
 * @param <T> the response
 */
public final class Recorder<T> implements StreamObserver<T> {
  private static final int PATIENCE_SECONDS = 120;

  private final List<T> responses = new CopyOnWriteArrayList<>();
  private final CompletableFuture<Optional<StatusRuntimeException>> end = new CompletableFuture<>();

  @Override
  public void onNext(T response) {
    responses.add(response);
  }

  @Override
  public void onError(Throwable cause) {
    end.complete(Optional.of((StatusRuntimeException) cause));
  }

  @Override
  public void onCompleted() {
    end.complete(Optional.empty());
  }

  /** Returns what has come so far. */
  public List<T> responses() {
    return responses;
  }

  /** Says whether the call is over. */
  public boolean isOver() {
    return end.isDone();
  }

  /** Waits for a good end. */
  public void awaitSuccess() throws Exception {
    Optional<StatusRuntimeException> failure = end.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    if (failure.isPresent()) {
      throw failure.get();
    }
  }

  /** Waits for the failure it must end with. */
  public StatusRuntimeException failure() throws Exception {
    return end.get(PATIENCE_SECONDS, TimeUnit.SECONDS).orElseThrow();
  }

  /** Waits for the failure it must end with and returns its code. */
  public Status.Code code() throws Exception {
    return failure().getStatus().getCode();
  }

  /** Waits for the failure it must end with and returns the reason, "" when it has none. */
  public String reason() throws Exception {
    com.google.rpc.Status status = StatusProto.fromThrowable(failure());
    for (var detail :
        status == null ? List.<com.google.protobuf.Any>of() : status.getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        return detail.unpack(ErrorInfo.class).getReason();
      }
    }
    return "";
  }
}
