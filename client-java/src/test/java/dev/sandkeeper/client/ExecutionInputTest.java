package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.CloseInputRequest;
import dev.sandkeeper.v1.CloseInputResponse;
import dev.sandkeeper.v1.ExecutionServiceGrpc;
import dev.sandkeeper.v1.SendInputRequest;
import dev.sandkeeper.v1.SendInputResponse;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Input is sent in pieces, each once, however often a call is tried. */
class ExecutionInputTest {
  private static final String EXECUTION = "e".repeat(20);
  private static final int MAX_BYTES = 64 * 1024;

  @Test
  void muchIsSentInPieces() {
    Reader reader = new Reader();
    try (FakeServer server = new FakeServer(reader);
        SandkeeperClient client = server.client();
        ExecutionInput input = client.input(EXECUTION)) {
      input.write("a");
      input.write(new byte[2 * MAX_BYTES + 1]);
      input.write(7);
      assertThat(input.offset()).isEqualTo(2 * MAX_BYTES + 3);
    }

    assertThat(reader.offsets)
        .containsExactly(0L, 1L, MAX_BYTES + 1L, 2L * MAX_BYTES + 1, 2L * MAX_BYTES + 2);
    assertThat(reader.read.size()).isEqualTo(2 * MAX_BYTES + 3);
    assertThat(reader.closed).isTrue();
  }

  @Test
  void whatIsNotTakenIsSentAgainAtItsOffset() {
    Reader reader =
        new Reader(
            Refusals.of(Status.Code.RESOURCE_EXHAUSTED, "INPUT_FULL"),
            Status.UNAVAILABLE.asRuntimeException());
    try (FakeServer server = new FakeServer(reader);
        SandkeeperClient client = server.client(b -> b.timing(new TestTiming().timing()))) {
      client.input(EXECUTION, 5).write("word");
    }

    assertThat(reader.offsets).containsExactly(5L, 5L, 5L);
    assertThat(reader.read.toStringUtf8()).isEqualTo("word");
  }

  @Test
  void theEndOfTheProgramEndsTheInput() {
    Reader reader = new Reader(Refusals.of(Status.Code.FAILED_PRECONDITION, "EXECUTION_FINISHED"));
    try (FakeServer server = new FakeServer(reader);
        SandkeeperClient client = server.client()) {
      ExecutionInput input = client.input(EXECUTION);

      assertThat(catchThrowableOfType(SandkeeperException.class, () -> input.write("a")).reason())
          .isEqualTo("EXECUTION_FINISHED");
      assertThat(input.offset()).isZero();
    }
  }

  /** Refuses some calls, then takes what comes. */
  private static final class Reader extends ExecutionServiceGrpc.ExecutionServiceImplBase {
    private final Deque<RuntimeException> refusals = new ArrayDeque<>();
    private final List<Long> offsets = new ArrayList<>();
    private ByteString read = ByteString.EMPTY;
    private boolean closed;

    Reader(RuntimeException... refusals) {
      this.refusals.addAll(List.of(refusals));
    }

    @Override
    public void sendInput(SendInputRequest request, StreamObserver<SendInputResponse> observer) {
      offsets.add(request.getOffset());
      RuntimeException refusal = refusals.poll();
      if (refusal != null) {
        observer.onError(refusal);
        return;
      }
      read = read.concat(request.getData());
      observer.onNext(
          SendInputResponse.newBuilder()
              .setNextOffset(request.getOffset() + request.getData().size())
              .build());
      observer.onCompleted();
    }

    @Override
    public void closeInput(CloseInputRequest request, StreamObserver<CloseInputResponse> observer) {
      closed = true;
      observer.onNext(CloseInputResponse.getDefaultInstance());
      observer.onCompleted();
    }
  }
}
