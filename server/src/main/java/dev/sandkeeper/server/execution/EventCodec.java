package dev.sandkeeper.server.execution;

import dev.sandkeeper.server.base.ExecutionId;
import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.OutputStreamKind;
import dev.sandkeeper.server.ledger.NanoUsd;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * The journal's bytes for an event: {@code length:int32, type:int8, sequence:int64, told:int64,
 * time:int64 microseconds, payload}. The length counts everything behind itself; told is how many
 * of the events up to this one the engine told of.
 */
final class EventCodec {
  /** Bytes before the payload, the length included. */
  static final int HEADER_BYTES = Integer.BYTES + 1 + 3 * Long.BYTES;

  private static final byte STARTED = 1;
  private static final byte STDOUT = 2;
  private static final byte STDERR = 3;
  private static final byte RESULT = 4;
  private static final byte FAILED = 5;
  private static final byte BUDGET_WARNING = 6;
  private static final byte FINISHED = 7;

  private EventCodec() {}

  /**
   * What an event's header says.
   *
   * @param bytes of the whole event, the length included
   * @param finished whether it is the last
   */
  record Head(long bytes, long sequence, long told, boolean finished) {}

  /** Returns the header and payload of output, without copying the data. */
  static ByteBuffer[] encodeOutput(
      long sequence, long told, Instant time, OutputStreamKind kind, ByteBuffer data, long offset) {
    byte type = kind == OutputStreamKind.STDOUT ? STDOUT : STDERR;
    ByteBuffer head = ByteBuffer.allocate(HEADER_BYTES + Long.BYTES);
    putHeader(head, type, sequence, told, time, Long.BYTES + data.remaining());
    head.putLong(offset).flip();
    return new ByteBuffer[] {head, data};
  }

  /** Returns the bytes of any event. */
  static ByteBuffer[] encode(NumberedEvent numbered, long told) {
    if (numbered.event() instanceof ExecutionEvent.Output output) {
      return encodeOutput(
          numbered.sequence(),
          told,
          numbered.time(),
          output.kind(),
          ByteBuffer.wrap(output.data()),
          output.offset());
    }
    byte[] payload = payload(numbered.event());
    ByteBuffer whole = ByteBuffer.allocate(HEADER_BYTES + payload.length);
    putHeader(
        whole, type(numbered.event()), numbered.sequence(), told, numbered.time(), payload.length);
    whole.put(payload).flip();
    return new ByteBuffer[] {whole};
  }

  /** Reads the event whose bytes, without the length, are given. */
  static NumberedEvent decode(ByteBuffer bytes) {
    byte type = bytes.get();
    long sequence = bytes.getLong();
    bytes.getLong(); // told
    Instant time = Instant.EPOCH.plus(bytes.getLong(), ChronoUnit.MICROS);
    return new NumberedEvent(sequence, time, event(type, bytes));
  }

  /** Reads the header of the event that begins the given bytes, at least {@link #HEADER_BYTES}. */
  static Head head(ByteBuffer bytes) {
    long length = Integer.BYTES + (long) bytes.getInt();
    byte type = bytes.get();
    return new Head(length, bytes.getLong(), bytes.getLong(), type == FINISHED);
  }

  private static void putHeader(
      ByteBuffer target, byte type, long sequence, long told, Instant time, int payloadBytes) {
    target.putInt(HEADER_BYTES - Integer.BYTES + payloadBytes);
    target.put(type);
    target.putLong(sequence);
    target.putLong(told);
    target.putLong(ChronoUnit.MICROS.between(Instant.EPOCH, time));
  }

  private static byte type(ExecutionEvent event) {
    return switch (event) {
      case ExecutionEvent.Started _ -> STARTED;
      case ExecutionEvent.Output output ->
          output.kind() == OutputStreamKind.STDOUT ? STDOUT : STDERR;
      case ExecutionEvent.Result _ -> RESULT;
      case ExecutionEvent.Failed _ -> FAILED;
      case ExecutionEvent.BudgetWarning _ -> BUDGET_WARNING;
      case ExecutionEvent.Finished _ -> FINISHED;
    };
  }

  private static byte[] payload(ExecutionEvent event) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      switch (event) {
        case ExecutionEvent.Started started -> {
          putText(out, started.executionId().value());
          out.writeInt(started.pid());
        }
        case ExecutionEvent.Output output -> throw new IllegalArgumentException("output");
        case ExecutionEvent.Result result -> {
          out.writeInt(result.data().size());
          for (Map.Entry<String, byte[]> entry : result.data().entrySet()) {
            putText(out, entry.getKey());
            putBytes(out, entry.getValue());
          }
        }
        case ExecutionEvent.Failed failed -> {
          putText(out, failed.error().name());
          putText(out, failed.error().value());
          putText(out, failed.error().traceback());
        }
        case ExecutionEvent.BudgetWarning warning -> {
          putText(out, warning.limitId());
          out.writeLong(warning.remaining().value());
          out.writeLong(ChronoUnit.MICROS.between(Instant.EPOCH, warning.paidUntil()));
        }
        case ExecutionEvent.Finished finished -> {
          ExecutionEnd end = finished.end();
          putText(out, end.reason().name());
          putOptional(out, end.exitCode().isPresent(), end.exitCode().orElse(0));
          putOptional(out, end.signal().isPresent(), end.signal().orElse(0));
          putOptional(out, end.cpuMicros().isPresent(), end.cpuMicros().orElse(0));
          putOptional(out, end.peakMemoryBytes().isPresent(), end.peakMemoryBytes().orElse(0));
          out.writeLong(finished.duration().toNanos());
          out.writeLong(finished.cost().value());
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e); // an array does not fail
    }
    return bytes.toByteArray();
  }

  private static ExecutionEvent event(byte type, ByteBuffer payload) {
    if (type == STDOUT || type == STDERR) {
      long offset = payload.getLong();
      byte[] data = new byte[payload.remaining()];
      payload.get(data);
      return new ExecutionEvent.Output(
          type == STDOUT ? OutputStreamKind.STDOUT : OutputStreamKind.STDERR, data, offset);
    }
    byte[] rest = new byte[payload.remaining()];
    payload.get(rest);
    try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(rest))) {
      return switch (type) {
        case STARTED -> new ExecutionEvent.Started(new ExecutionId(getText(in)), in.readInt());
        case RESULT -> {
          int count = in.readInt();
          Map<String, byte[]> data = new LinkedHashMap<>();
          for (int i = 0; i < count; i++) {
            String mimeType = getText(in);
            data.put(mimeType, getBytes(in));
          }
          yield new ExecutionEvent.Result(data);
        }
        case FAILED ->
            new ExecutionEvent.Failed(new CodeError(getText(in), getText(in), getText(in)));
        case BUDGET_WARNING ->
            new ExecutionEvent.BudgetWarning(
                getText(in),
                new NanoUsd(in.readLong()),
                Instant.EPOCH.plus(in.readLong(), ChronoUnit.MICROS));
        case FINISHED -> {
          ExecutionEnd end =
              new ExecutionEnd(
                  ExecutionEnd.Reason.valueOf(getText(in)),
                  getOptionalInt(in),
                  getOptionalInt(in),
                  getOptionalLong(in),
                  getOptionalLong(in));
          yield new ExecutionEvent.Finished(
              end, Duration.ofNanos(in.readLong()), new NanoUsd(in.readLong()));
        }
        default -> throw new IllegalArgumentException("type: " + type + " (expected: 1 to 7)");
      };
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void putText(DataOutputStream out, String text) throws IOException {
    putBytes(out, text.getBytes(StandardCharsets.UTF_8));
  }

  private static String getText(DataInputStream in) throws IOException {
    return new String(getBytes(in), StandardCharsets.UTF_8);
  }

  private static void putBytes(DataOutputStream out, byte[] bytes) throws IOException {
    out.writeInt(bytes.length);
    out.write(bytes);
  }

  private static byte[] getBytes(DataInputStream in) throws IOException {
    return in.readNBytes(in.readInt());
  }

  private static void putOptional(DataOutputStream out, boolean present, long value)
      throws IOException {
    out.writeBoolean(present);
    out.writeLong(value);
  }

  private static OptionalInt getOptionalInt(DataInputStream in) throws IOException {
    OptionalLong value = getOptionalLong(in);
    return value.isPresent()
        ? OptionalInt.of(Math.toIntExact(value.getAsLong()))
        : OptionalInt.empty();
  }

  private static OptionalLong getOptionalLong(DataInputStream in) throws IOException {
    boolean present = in.readBoolean();
    long value = in.readLong();
    return present ? OptionalLong.of(value) : OptionalLong.empty();
  }
}
