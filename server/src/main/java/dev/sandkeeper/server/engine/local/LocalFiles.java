package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.FileInfo;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;

/** Files of one sandbox: every call is one connection to a worker inside that does the work. */
final class LocalFiles implements EngineFiles {

  private static final int CHUNK_BYTES = 256 * 1024;
  private static final int MAX_ENTRIES = 10_000;
  private static final int MAX_PATH_BYTES = 4_096;
  private static final Duration DIAL_TIME = Duration.ofSeconds(10);
  private static final long NANOS_PER_SECOND = 1_000_000_000;

  private final AgentLink link;
  private final Patience patience;
  private final Runnable check;
  private final AtomicLong names = new AtomicLong();

  /**
   * Reaches files by an agent.
   *
   * @param check throws when the sandbox cannot do anything now
   */
  LocalFiles(AgentLink link, Patience patience, Runnable check) {
    this.link = link;
    this.patience = patience;
    this.check = check;
  }

  @Override
  public FileWriter write(String path, long maxBytes) {
    notNegative("maxBytes", maxBytes);
    Fields request = request("write", path).add("most", Long.toString(maxBytes));
    return new Writer(path, maxBytes, open(request));
  }

  @Override
  public void read(String path, long offset, long maxBytes, ChunkConsumer consumer) {
    notNegative("offset", offset);
    notNegative("maxBytes", maxBytes);
    Fields request =
        request("read", path)
            .add("offset", Long.toString(offset))
            .add("most", Long.toString(maxBytes));
    long left = maxBytes;
    try (Connection worker = open(request)) {
      while (true) {
        Frame frame = reply(worker, path);
        if (frame.type() == Frame.DONE) {
          return;
        }
        left -= frame.payload().remaining();
        if (frame.type() != Frame.DATA || !frame.payload().hasRemaining() || left < 0) {
          throw new ProtocolException("file frame type " + frame.type());
        }
        consumer.accept(frame.payload());
      }
    } catch (IOException e) {
      throw gone(e);
    }
  }

  @Override
  public List<FileInfo> list(String path, int limit) {
    if (limit < 1 || limit > MAX_ENTRIES) {
      throw new IllegalArgumentException(
          "limit: " + limit + " (expected: 1 to " + MAX_ENTRIES + ")");
    }
    List<FileInfo> entries = new ArrayList<>();
    try (Connection worker = open(request("list", path).add("limit", Integer.toString(limit)))) {
      while (true) {
        Frame frame = reply(worker, path);
        if (frame.type() == Frame.DONE) {
          return List.copyOf(entries);
        }
        if (frame.type() != Frame.ENTRY || entries.size() == limit) {
          throw new ProtocolException("file frame type " + frame.type());
        }
        entries.add(info(frame));
      }
    } catch (IOException e) {
      throw gone(e);
    }
  }

  @Override
  public FileInfo stat(String path) {
    try (Connection worker = open(request("stat", path))) {
      return info(done(worker, path));
    } catch (IOException e) {
      throw gone(e);
    }
  }

  @Override
  public void remove(String path, boolean recursive) {
    try (Connection worker =
        open(request("remove", path).add("recursive", recursive ? "1" : "0"))) {
      done(worker, path);
    } catch (IOException e) {
      throw gone(e);
    }
  }

  private final class Writer implements FileWriter {

    private final String path;
    private final Connection worker;
    private long left;
    private boolean over;

    Writer(String path, long maxBytes, Connection worker) {
      this.path = path;
      this.worker = worker;
      this.left = maxBytes;
    }

    @Override
    public void append(ByteBuffer bytes) {
      if (over) {
        throw new IllegalStateException("the file is committed or aborted");
      }
      left -= bytes.remaining();
      if (left < 0) {
        abort();
        throw new EngineFileException(EngineFileException.Kind.TOO_LARGE, path);
      }
      try {
        while (bytes.hasRemaining()) {
          int size = Math.min(bytes.remaining(), CHUNK_BYTES);
          ByteBuffer chunk = bytes.slice(bytes.position(), size);
          patience.within(
              worker,
              () -> {
                worker.write(Frame.CHUNK, 0, chunk);
                return chunk;
              });
          bytes.position(bytes.position() + size);
        }
      } catch (IOException e) {
        throw failed(e);
      }
    }

    @Override
    public FileInfo commit() {
      if (over) {
        throw new IllegalStateException("the file is committed or aborted");
      }
      try {
        worker.write(Frame.COMMIT, 0);
      } catch (IOException e) {
        throw failed(e);
      }
      try {
        return info(done(worker, path));
      } catch (IOException e) {
        throw gone(e);
      } finally {
        abort();
      }
    }

    @Override
    public void abort() {
      over = true;
      // Without a commit the worker drops what it has.
      worker.close();
    }

    /** The worker may have said why before it went. */
    private RuntimeException failed(IOException cause) {
      try {
        reply(worker, path);
        return gone(cause);
      } catch (EngineFileException e) {
        return e;
      } catch (IOException e) {
        return gone(cause);
      } finally {
        abort();
      }
    }
  }

  private Connection open(Fields request) {
    check.run();
    String name = "file-" + names.incrementAndGet();
    CompletableFuture<Connection> dialled = link.expect(name);
    try {
      link.send(Frame.OPEN, 0, new Fields().add(name, "file"));
      Connection worker = dialled.get(DIAL_TIME.toMillis(), TimeUnit.MILLISECONDS);
      try {
        worker.write(Frame.REQUEST, 0, request);
        return worker;
      } catch (IOException e) {
        worker.close();
        throw gone(e);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw gone(e);
    } catch (TimeoutException | CancellationException e) {
      throw gone(e);
    } catch (ExecutionException e) {
      throw e.getCause() instanceof EngineException refusal ? refusal : gone(e);
    } finally {
      link.forget(name);
    }
  }

  private static Fields request(String call, String path) {
    checkPath(path);
    return new Fields().add("call", call).add("path", path);
  }

  private static void checkPath(String path) {
    boolean valid =
        !path.isEmpty()
            && path.indexOf('\0') < 0
            && path.getBytes(java.nio.charset.StandardCharsets.UTF_8).length < MAX_PATH_BYTES
            && !Arrays.asList(path.split("/", -1)).contains("..");
    if (!valid) {
      throw new EngineFileException(EngineFileException.Kind.INVALID_PATH, path);
    }
  }

  private static void notNegative(String name, long value) {
    if (value < 0) {
      throw new IllegalArgumentException(name + ": " + value + " (expected: >= 0)");
    }
  }

  private Frame done(Connection worker, String path) throws IOException {
    Frame frame = reply(worker, path);
    if (frame.type() != Frame.DONE) {
      throw new ProtocolException("file frame type " + frame.type());
    }
    return frame;
  }

  /** Reads a frame; a fault becomes the exception it stands for. */
  private Frame reply(Connection worker, String path) throws IOException {
    Frame frame = patience.within(worker, worker::read);
    if (frame.type() != Frame.FAULT) {
      return frame;
    }
    String kind = frame.texts(1).getFirst();
    try {
      throw new EngineFileException(EngineFileException.Kind.valueOf(kind), path);
    } catch (IllegalArgumentException e) {
      throw new ProtocolException("fault " + kind);
    }
  }

  private static FileInfo info(Frame frame) throws IOException {
    List<String> texts = frame.texts(5);
    try {
      long modified = Long.parseLong(texts.get(4));
      return new FileInfo(
          texts.get(0),
          FileInfo.Type.valueOf(texts.get(1)),
          Long.parseLong(texts.get(2)),
          Integer.parseInt(texts.get(3)),
          Instant.ofEpochSecond(
              Math.floorDiv(modified, NANOS_PER_SECOND),
              Math.floorMod(modified, NANOS_PER_SECOND)));
    } catch (IllegalArgumentException e) {
      throw new ProtocolException("a file's description");
    }
  }

  private static EngineException gone(Exception cause) {
    return new EngineException(
        EngineException.Kind.FAILED, "the sandbox did not finish the file operation", cause);
  }
}
