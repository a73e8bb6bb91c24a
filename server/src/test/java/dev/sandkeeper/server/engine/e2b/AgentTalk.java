package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** As much of an engine as one command needs, over connections that may break at any time. */
final class AgentTalk {
  private static final int HELLO = 1;
  private static final int STDOUT = 3;
  private static final int FINISHED = 7;
  private static final int INPUT_STATE = 20;
  private static final int OPEN = 32;
  private static final int REQUEST = 36;
  private static final int ACKNOWLEDGE = 40;
  private static final int RESUME = 41;
  private static final String NAME = "the-command";

  private final ServerSocketChannel listener;
  private final List<String> command;
  private final CompletableFuture<String> end = new CompletableFuture<>();
  private final ByteArrayOutputStream output = new ByteArrayOutputStream();
  private volatile long told;
  private boolean asked;
  private boolean begun;

  private record Frame(int type, long offset, byte[] payload) {}

  /** Begins to serve the agent, and has it run the command once. */
  AgentTalk(ServerSocketChannel listener, List<String> command) {
    this.listener = listener;
    this.command = command;
    Thread.ofVirtual().start(this::accept);
  }

  /** Completes with how the command ended. */
  CompletableFuture<String> end() {
    return end;
  }

  /** Returns how many frames of the command's were heard. */
  long told() {
    return told;
  }

  synchronized byte[] output() {
    return output.toByteArray();
  }

  private void accept() {
    try {
      while (true) {
        SocketChannel channel = listener.accept();
        Thread.ofVirtual().start(() -> serve(channel));
      }
    } catch (IOException e) {
      // The test is over.
      return;
    }
  }

  private void serve(SocketChannel channel) {
    try (channel) {
      DataInputStream in = new DataInputStream(Channels.newInputStream(channel));
      DataOutputStream out = new DataOutputStream(Channels.newOutputStream(channel));
      Frame hello = read(in);
      List<String> words = words(hello.payload());
      if (hello.type() != HELLO) {
        throw new IOException("a first frame of type " + hello.type());
      }
      switch (words.get(1)) {
        case "control" -> control(in, out);
        case "run" -> {
          synchronized (this) {
            begun = true;
          }
          write(out, REQUEST, 0, request());
          converse(in, out);
        }
        case "resume" -> {
          write(out, RESUME, told, new byte[0]);
          converse(in, out);
        }
        default -> throw new IOException("a role " + words.get(1));
      }
    } catch (IOException e) {
      // The agent dials again.
      return;
    }
  }

  private void control(DataInputStream in, DataOutputStream out) throws IOException {
    synchronized (this) {
      if (!asked) {
        asked = true;
        write(out, OPEN, 0, fields(NAME, "command"));
      }
    }
    try {
      while (true) {
        Frame frame = read(in);
        end.completeExceptionally(new IOException("control frame " + frame.type()));
      }
    } finally {
      synchronized (this) {
        // What was asked by a link that carried nothing up is asked again.
        asked = begun;
      }
    }
  }

  private synchronized void converse(DataInputStream in, DataOutputStream out) throws IOException {
    int unacknowledged = 0;
    while (true) {
      Frame frame = read(in);
      if (frame.type() == INPUT_STATE) {
        continue;
      }
      if (frame.type() == STDOUT) {
        if (frame.offset() != output.size()) {
          end.completeExceptionally(
              new IOException("output at " + frame.offset() + ", not " + output.size()));
        }
        output.writeBytes(frame.payload());
      }
      told++;
      unacknowledged += frame.payload().length;
      if (frame.type() == FINISHED) {
        write(out, ACKNOWLEDGE, told, new byte[0]);
        end.complete(words(frame.payload()).getFirst());
        return;
      }
      if (unacknowledged >= 128 * 1024) {
        write(out, ACKNOWLEDGE, told, new byte[0]);
        unacknowledged = 0;
      }
    }
  }

  private byte[] request() {
    List<String> fields = new ArrayList<>(List.of("id", NAME, "deadline", "600000", "stdin", ""));
    command.forEach(argument -> fields.addAll(List.of("argv", argument)));
    return fields(fields.toArray(String[]::new));
  }

  private static Frame read(DataInputStream in) throws IOException {
    int size = in.readInt();
    int type = in.readUnsignedByte();
    long offset = in.readLong();
    byte[] payload = new byte[size];
    in.readFully(payload);
    return new Frame(type, offset, payload);
  }

  private static void write(DataOutputStream out, int type, long offset, byte[] payload)
      throws IOException {
    ByteArrayOutputStream frame = new ByteArrayOutputStream();
    DataOutputStream packed = new DataOutputStream(frame);
    packed.writeInt(payload.length);
    packed.writeByte(type);
    packed.writeLong(offset);
    packed.write(payload);
    out.write(frame.toByteArray());
  }

  private static byte[] fields(String... words) {
    ByteArrayOutputStream fields = new ByteArrayOutputStream();
    for (String word : words) {
      byte[] bytes = word.getBytes(UTF_8);
      fields.writeBytes(ByteBuffer.allocate(4).putInt(bytes.length).array());
      fields.writeBytes(bytes);
    }
    return fields.toByteArray();
  }

  private static List<String> words(byte[] payload) throws IOException {
    DataInputStream in = new DataInputStream(new ByteArrayInputStream(payload));
    List<String> words = new ArrayList<>();
    while (in.available() > 0) {
      byte[] word = new byte[in.readInt()];
      in.readFully(word);
      words.add(new String(word, UTF_8));
    }
    return words;
  }
}
