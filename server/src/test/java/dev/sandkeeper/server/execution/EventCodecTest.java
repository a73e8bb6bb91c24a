package dev.sandkeeper.server.execution;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What goes into the journal comes out of it. */
class EventCodecTest {
  private static final Instant TIME = Instant.parse("1969-12-31T23:59:59.999999Z");

  static Stream<ExecutionEvent> everyEvent() {
    Map<String, byte[]> bundle = new LinkedHashMap<>();
    bundle.put("text/plain", "Grüße, ığüş 🐍".getBytes(java.nio.charset.StandardCharsets.UTF_8));
    bundle.put("image/png", new byte[] {0, -1, 13, 10});
    bundle.put("text/html", new byte[0]);
    Stream<ExecutionEvent> ends =
        Arrays.stream(ExecutionEnd.Reason.values())
            .map(reason ->
                new ExecutionEvent.Finished(
                    ExecutionEnd.of(reason), Duration.ofNanos(1), NanoUsd.ZERO));
    Stream<ExecutionEvent> others =
        Stream.of(
            new ExecutionEvent.Started(new ExecutionId("a".repeat(20)), 42),
            new ExecutionEvent.Result(bundle),
            new ExecutionEvent.Result(Map.of()),
            new ExecutionEvent.Failed(new CodeError("ValueError", "", "Traceback\n  \u0000ü\n")),
            new ExecutionEvent.BudgetWarning(
                "limit-1", new NanoUsd(Long.MAX_VALUE), Instant.parse("9999-12-31T23:59:59Z")),
            new ExecutionEvent.Finished(
                new ExecutionEnd(
                    ExecutionEnd.Reason.COMPLETED,
                    OptionalInt.of(255),
                    OptionalInt.empty(),
                    OptionalLong.of(0),
                    OptionalLong.of(Long.MAX_VALUE)),
                Duration.ofDays(1),
                new NanoUsd(5)),
            new ExecutionEvent.Finished(
                new ExecutionEnd(
                    ExecutionEnd.Reason.SIGNALED,
                    OptionalInt.empty(),
                    OptionalInt.of(9),
                    OptionalLong.empty(),
                    OptionalLong.empty()),
                Duration.ZERO,
                NanoUsd.ZERO));
    Stream<ExecutionEvent> outputs =
        Arrays.stream(OutputStreamKind.values())
            .map(kind ->
                new ExecutionEvent.Output(kind, new byte[] {1, 0, -128, 127}, Long.MAX_VALUE - 4));
    return Stream.of(ends, others, outputs).flatMap(stream -> stream);
  }

  @ParameterizedTest
  @MethodSource("everyEvent")
  void everyEventComesBack(ExecutionEvent event) {
    NumberedEvent numbered = new NumberedEvent(Long.MAX_VALUE, TIME, event);

    ByteBuffer bytes = joined(EventCodec.encode(numbered, 1));
    assertThat(bytes.getInt()).isEqualTo(bytes.remaining());
    NumberedEvent decoded = EventCodec.decode(bytes);

    assertThat(bytes.hasRemaining()).isFalse();
    // Arrays have no equality of their own.
    assertThat(decoded).usingRecursiveComparison().isEqualTo(numbered);
  }

  @Test
  void everyKindOfEventIsTried() {
    assertThat(everyEvent().map(Object::getClass).distinct())
        .hasSize(ExecutionEvent.class.getPermittedSubclasses().length);
  }

  @Test
  void anUnknownTypeIsRefused() {
    ByteBuffer bytes = ByteBuffer.allocate(EventCodec.HEADER_BYTES);
    bytes.put((byte) 99).putLong(1).putLong(1).putLong(0).flip();

    assertThatIllegalArgumentException()
        .isThrownBy(() -> EventCodec.decode(bytes))
        .withMessageContaining("99");
  }

  private static ByteBuffer joined(ByteBuffer[] parts) {
    ByteBuffer whole =
        ByteBuffer.allocate(Arrays.stream(parts).mapToInt(ByteBuffer::remaining).sum());
    for (ByteBuffer part : parts) {
      whole.put(part);
    }
    return whole.flip();
  }
}
