package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.AttachExecutionRequest;
import dev.sandkeeper.v1.AttachExecutionResponse;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.ExecuteResponse;
import dev.sandkeeper.v1.ExecutionEvent;
import dev.sandkeeper.v1.FinishReason;
import dev.sandkeeper.v1.Finished;
import dev.sandkeeper.v1.Heartbeat;
import dev.sandkeeper.v1.Output;
import dev.sandkeeper.v1.SandboxServiceGrpc;
import dev.sandkeeper.v1.Started;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/**
 * A server with one execution, whose calls end as a test says: each takes the next turn, and those
 * behind the last go well.
 */
final class ScriptedExecution extends SandboxServiceGrpc.SandboxServiceImplBase {
  static final String EXECUTION = "e".repeat(20);

  /**
   * How a call goes.
   *
   * @param count how many events it sends at most
   * @param end how it ends behind them
   */
  record Turn(int count, Consumer<StreamObserver<?>> end) {}

  private final List<ExecutionEvent> events;
  private final List<Turn> turns;
  private final AtomicInteger calls = new AtomicInteger();
  private final List<ExecuteRequest> executes = new CopyOnWriteArrayList<>();
  private final List<AttachExecutionRequest> attaches = new CopyOnWriteArrayList<>();

  /** How many events before the one asked for are sent again. */
  private volatile int repeated;

  ScriptedExecution(List<ExecutionEvent> events, Turn... turns) {
    this.events = List.copyOf(events);
    this.turns = List.of(turns);
  }

  /** Sends so many events and breaks. */
  static Turn breaksAfter(int count, Status status) {
    return new Turn(count, observer -> observer.onError(status.asRuntimeException()));
  }

  /** Sends so many events and fails. */
  static Turn failsAfter(int count, RuntimeException failure) {
    return new Turn(count, observer -> observer.onError(failure));
  }

  /** Sends so many events and ends the stream as if they were all. */
  static Turn endsAfter(int count) {
    return new Turn(count, StreamObserver::onCompleted);
  }

  /** Sends so many events and is silent. */
  static Turn hangsAfter(int count) {
    return new Turn(count, observer -> {});
  }

  ScriptedExecution repeating(int count) {
    repeated = count;
    return this;
  }

  List<ExecuteRequest> executes() {
    return executes;
  }

  List<AttachExecutionRequest> attaches() {
    return attaches;
  }

  static ExecutionEvent.Builder event(long sequence) {
    return ExecutionEvent.newBuilder().setSequence(sequence);
  }

  static ExecutionEvent started(long sequence) {
    return event(sequence).setStarted(Started.newBuilder().setExecutionId(EXECUTION)).build();
  }

  static ExecutionEvent stdout(long sequence, String text) {
    return stdout(sequence, ByteString.copyFromUtf8(text));
  }

  static ExecutionEvent stdout(long sequence, ByteString data) {
    return event(sequence).setStdout(Output.newBuilder().setData(data)).build();
  }

  static ExecutionEvent stderr(long sequence, String text) {
    return event(sequence)
        .setStderr(Output.newBuilder().setData(ByteString.copyFromUtf8(text)))
        .build();
  }

  static ExecutionEvent heartbeat() {
    return event(0).setHeartbeat(Heartbeat.getDefaultInstance()).build();
  }

  static ExecutionEvent finished(long sequence, int exitCode) {
    return event(sequence)
        .setFinished(
            Finished.newBuilder()
                .setReason(FinishReason.FINISH_REASON_COMPLETED)
                .setExitCode(exitCode))
        .build();
  }

  @Override
  public void execute(ExecuteRequest request, StreamObserver<ExecuteResponse> observer) {
    executes.add(request);
    play(0, observer, e -> observer.onNext(ExecuteResponse.newBuilder().setEvent(e).build()));
  }

  @Override
  public void attachExecution(
      AttachExecutionRequest request, StreamObserver<AttachExecutionResponse> observer) {
    attaches.add(request);
    play(
        request.getAfterSequence() - repeated,
        observer,
        e -> observer.onNext(AttachExecutionResponse.newBuilder().setEvent(e).build()));
  }

  private void play(long after, StreamObserver<?> observer, Consumer<ExecutionEvent> send) {
    int call = calls.getAndIncrement();
    Turn turn = call < turns.size() ? turns.get(call) : endsAfter(Integer.MAX_VALUE);
    events.stream()
        .filter(e -> e.getSequence() > after || e.hasHeartbeat())
        .limit(turn.count())
        .forEach(send);
    turn.end().accept(observer);
  }
}
