package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineFiles.ChunkConsumer;
import dev.sandkeeper.server.engine.EngineFiles.FileWriter;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.Stdio;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What the host does with a sandbox that is set on tricking it; each gives what it read. */
enum HostCall {
  WRITES {
    @Override
    void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen) {
      write(sandbox.files().write(TARGET, MOST), "from the host".getBytes(StandardCharsets.UTF_8));
    }
  },
  READS {
    @Override
    void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen) {
      sandbox.files().read(TARGET, 0, MOST, into(seen));
    }
  },
  LISTS {
    @Override
    void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen) {
      sandbox
          .files()
          .list(TARGET, DEEPEST, MOST_ENTRIES)
          .forEach(entry -> seen.writeBytes(entry.relativePath().getBytes(StandardCharsets.UTF_8)));
    }
  },
  REMOVES {
    @Override
    void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen) {
      sandbox.files().remove(TARGET, true);
    }
  },
  MOVES {
    @Override
    void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen) {
      var _ = sandbox.files().move(TARGET, "/home/user/moved", true);
    }
  },
  UNPACKS {
    @Override
    void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen) {
      write(sandbox.files().unpack(TARGET, MOST, MOST_ENTRIES), archive("folder/from-the-host"));
    }
  },
  COLLECTS {
    @Override
    void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen) {
      var _ = sandbox.files().collect(TARGET, List.of("**"), MOST, MOST_ENTRIES, into(seen));
    }
  },
  /** Programs whose working folder is a descriptor of whoever starts them. */
  STARTS {
    @Override
    void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen)
        throws Exception {
      String climb = "cat ./" + "../".repeat(12) + "\"$HOST_FILE\"; ls -a .. ../..";
      for (int descriptor = 0; descriptor < DESCRIPTORS; descriptor++) {
        Recording recording =
            EngineFixture.run(
                sandbox,
                new ExecutionSpec(
                    EngineFixture.command(DEADLINE, "sh").id(),
                    new ExecutionSpec.Command(List.of("sh", "-c", climb)),
                    Optional.of("/proc/self/fd/" + descriptor),
                    hints,
                    Stdio.of(new byte[0]),
                    DEADLINE));
        seen.writeBytes(recording.stdoutBytes());
      }
    }
  };

  /** What the attacks swap. */
  static final String TARGET = "/home/user/target";

  private static final Duration DEADLINE = Duration.ofSeconds(5);
  private static final long MOST = 1 << 20;
  private static final int MOST_ENTRIES = 10_000;
  private static final int DEEPEST = 64;
  private static final int DESCRIPTORS = 16;

  private static final int TAR_BLOCK = 512;

  /**
   * Does it once.
   *
   * @param hints what the attack is told of the host
   * @param seen takes what was read of the sandbox
   * @throws dev.sandkeeper.server.engine.EngineFileException as it may
   */
  abstract void call(EngineSandbox sandbox, Map<String, String> hints, ByteArrayOutputStream seen)
      throws Exception;

  private static void write(FileWriter opened, byte[] content) {
    try (FileWriter writer = opened) {
      writer.append(ByteBuffer.wrap(content));
      var _ = writer.commit();
    }
  }

  private static ChunkConsumer into(ByteArrayOutputStream seen) {
    return bytes -> {
      byte[] copy = new byte[bytes.remaining()];
      bytes.get(copy);
      seen.writeBytes(copy);
    };
  }

  /** Returns a tar archive with one empty file. */
  private static byte[] archive(String name) {
    byte[] archive = new byte[3 * TAR_BLOCK];
    put(archive, 0, name);
    put(
        archive,
        100,
        "0000644\0" + "0000000\0".repeat(2) + "00000000000\0".repeat(2) + "        0");
    put(archive, 257, "ustar\00000");
    int sum = 0;
    for (byte value : archive) {
      sum += value;
    }
    put(archive, 148, "%06o\0 ".formatted(sum));
    return archive;
  }

  private static void put(byte[] archive, int at, String text) {
    byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
    System.arraycopy(bytes, 0, archive, at, bytes.length);
  }
}
