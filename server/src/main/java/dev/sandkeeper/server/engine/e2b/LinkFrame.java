package dev.sandkeeper.server.engine.e2b;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Optional;
import java.util.zip.CRC32;

/**
 * One message of a link; {@code sandkeeper_link.py} says what it looks like on the way.
 *
 * @param connection the number of a connection, 0 for what is of all of them
 */
record LinkFrame(Kind kind, int connection, ByteBuffer payload) {
  static final int MAX_PAYLOAD_BYTES = 32 * 1024;

  /** What either side may send of a connection before the other gives it credit for more. */
  static final int WINDOW_BYTES = 256 * 1024;

  static final int NO_CONNECTION = 0;

  private static final int HEAD_BYTES = 17;
  private static final int CHECK_BYTES = 4;

  /** What a frame says. */
  enum Kind {
    /** The sandbox's end listens; the payload is the version of all this. */
    HELLO(1),
    /** The agent dialled the socket that the payload names. */
    OPEN(2),
    DATA(3),
    /** Credit for more. */
    WINDOW(4),
    /** This side sends no more. */
    END(5),
    /** The connection is of no use any more. */
    RESET(6),
    PING(7),
    PONG(8);

    /** What stands for it on the way. */
    private final int number;

    Kind(int number) {
      this.number = number;
    }

    private static Optional<Kind> of(int number) {
      return Arrays.stream(values()).filter(kind -> kind.number == number).findFirst();
    }
  }

  /** The other end does not keep to what is agreed, or what it sent has changed on the way. */
  static final class BrokenException extends Exception {
    private static final long serialVersionUID = 1L;

    BrokenException(String message) {
      super(message);
    }
  }

  /** Counts and packs the frames of one direction. */
  static final class Packer {
    private long next;

    /** Returns a frame as it travels; reads the payload. */
    byte[] pack(Kind kind, int connection, ByteBuffer payload) {
      int size = payload.remaining();
      ByteBuffer frame =
          ByteBuffer.allocate(HEAD_BYTES + CHECK_BYTES + size)
              .put((byte) kind.number)
              .putInt(connection)
              .putLong(next)
              .putInt(size);
      frame.position(HEAD_BYTES + CHECK_BYTES).put(payload);
      next++;
      return frame.putInt(HEAD_BYTES, check(frame.array())).array();
    }
  }

  /** Unpacks the frames of one direction, and sees that none is missing, doubled or changed. */
  static final class Unpacker {
    private final Inflow inflow = new Inflow();
    private long next;

    void add(ByteBuffer bytes) {
      inflow.add(bytes);
    }

    /** Returns the next frame that is there whole. */
    Optional<LinkFrame> next() throws BrokenException {
      if (inflow.size() < HEAD_BYTES + CHECK_BYTES) {
        return Optional.empty();
      }
      ByteBuffer head = inflow.peek();
      int kind = head.get();
      int connection = head.getInt();
      long sequence = head.getLong();
      int size = head.getInt();
      int check = head.getInt();
      if (sequence != next || size < 0 || size > MAX_PAYLOAD_BYTES) {
        throw new BrokenException(
            "frame " + sequence + " of " + size + " bytes (expected: frame " + next + ")");
      }
      if (inflow.size() < HEAD_BYTES + CHECK_BYTES + size) {
        return Optional.empty();
      }
      byte[] frame = inflow.take(HEAD_BYTES + CHECK_BYTES + size);
      if (check != check(frame)) {
        throw new BrokenException("frame " + sequence + " is damaged");
      }
      Optional<Kind> known = Kind.of(kind);
      if (known.isEmpty() || connection < 0) {
        throw new BrokenException("frame of kind " + kind + " for connection " + connection);
      }
      next++;
      ByteBuffer payload = ByteBuffer.wrap(frame, HEAD_BYTES + CHECK_BYTES, size).slice();
      return Optional.of(new LinkFrame(known.get(), connection, payload));
    }
  }

  private static int check(byte[] frame) {
    CRC32 crc = new CRC32();
    crc.update(frame, 0, HEAD_BYTES);
    crc.update(frame, HEAD_BYTES + CHECK_BYTES, frame.length - HEAD_BYTES - CHECK_BYTES);
    return (int) crc.getValue();
  }
}
