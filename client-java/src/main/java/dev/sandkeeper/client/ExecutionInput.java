package dev.sandkeeper.client;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Objects;

/**
 * What a program reads, or what is typed into its terminal, while it runs; it must have been
 * started with {@link ExecutionBuilder#keepStdinOpen()}:
 *
 * <pre>{@code
 * try (ExecutionInput input = client.input(executionId)) {
 *   input.write("6 * 7\n");
 * }
 * }</pre>
 *
 * <p>Nothing is buffered here: a write returns when the server answers for the bytes. A program
 * that does not read holds the writer up once 128 KiB wait for it. All methods throw {@link
 * SandkeeperException}, with the reason {@code EXECUTION_FINISHED} when the program is over and
 * {@code INPUT_CLOSED} when it has closed its input. For one thread at a time.
 */
public final class ExecutionInput extends OutputStream {
  private static final int MAX_BYTES = 64 * 1024;

  private final SandkeeperClient client;
  private final String executionId;
  private long offset;

  ExecutionInput(SandkeeperClient client, String executionId, long offset) {
    this.client = client;
    this.executionId = executionId;
    this.offset = offset;
  }

  /** Returns how many bytes were sent, for {@link SandkeeperClient#input(String, long)}. */
  public long offset() {
    return offset;
  }

  /** Sends text in UTF-8. */
  public void write(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    write(bytes, 0, bytes.length);
  }

  @Override
  public void write(int value) {
    write(new byte[] {(byte) value}, 0, 1);
  }

  @Override
  public void write(byte[] bytes) {
    write(bytes, 0, bytes.length);
  }

  @Override
  public void write(byte[] bytes, int start, int length) {
    Objects.checkFromIndexSize(start, length, bytes.length);
    for (int sent = 0; sent < length; ) {
      int size = Math.min(MAX_BYTES, length - sent);
      send(ByteString.copyFrom(bytes, start + sent, size));
      sent += size;
    }
  }

  private void send(ByteString data) {
    while (true) {
      try {
        offset = client.sendInput(executionId, offset, data);
        return;
      } catch (SandkeeperException e) {
        // The server has waited for room; whoever interrupts this thread ends the next call.
        if (e.code() != Status.Code.RESOURCE_EXHAUSTED || !e.reason().equals("INPUT_FULL")) {
          throw e;
        }
      }
    }
  }

  /** Ends the input: the program reads its end behind what was sent. */
  @Override
  public void close() {
    client.closeInput(executionId);
  }
}
