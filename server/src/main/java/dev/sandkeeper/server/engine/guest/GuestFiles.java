package dev.sandkeeper.server.engine.guest;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.FileChange;
import dev.sandkeeper.server.engine.FileEntry;
import dev.sandkeeper.server.engine.FileInfo;
import dev.sandkeeper.server.engine.UploadResumption;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Files of one sandbox: every call is one connection to a worker inside that does the work. */
final class GuestFiles implements EngineFiles {

  private static final Logger logger = LoggerFactory.getLogger(GuestFiles.class);

  private static final int CHUNK_BYTES = 256 * 1024;
  private static final int MAX_ENTRIES = 10_000;
  private static final int MAX_PATH_BYTES = 4_096;

  /** Where uploads wait that may be gone on with. */
  private static final String UPLOADS = "/tmp/.sandkeeper-uploads";

  /** Headers of a file, its name and its link's target at their longest, and what fills blocks. */
  private static final long MAX_ARCHIVE_ENTRY_BYTES = 16 * 1024;

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
  GuestFiles(AgentLink link, Patience patience, Runnable check) {
    this.link = link;
    this.patience = patience;
    this.check = check;
  }

  @Override
  public FileWriter write(String path, long maxBytes) {
    notNegative("maxBytes", maxBytes);
    Fields request = request("write", path).add("most", Long.toString(maxBytes));
    return new Writer(path, maxBytes, open(request), false);
  }

  @Override
  public FileWriter resume(
      String path, long maxBytes, UploadResumption resumption, ChunkConsumer before) {
    long offset = resumption.offset();
    notNegative("offset", offset);
    if (offset > maxBytes) {
      throw new EngineFileException(EngineFileException.Kind.TOO_LARGE, path);
    }
    Fields request =
        request("write", path)
            .add("most", Long.toString(maxBytes))
            .add("part", part(resumption.uploadId()))
            .add("offset", Long.toString(offset))
            .add("uploads", Integer.toString(resumption.most()))
            .add("keep", Long.toString(resumption.keep().toSeconds()));
    Connection worker = open(request);
    try {
      long came = takeBytes(worker, path, offset, Frame.STARTED, before);
      if (came != offset) {
        throw new ProtocolException(came + " bytes of an upload (expected: " + offset + ")");
      }
      return new Writer(path, maxBytes - offset, worker, true);
    } catch (IOException e) {
      worker.close();
      throw gone(e);
    } catch (RuntimeException e) {
      worker.close();
      throw e;
    }
  }

  @Override
  public FileWriter unpack(String path, long maxBytes, int limit) {
    notNegative("maxBytes", maxBytes);
    Fields request =
        request("unpack", path)
            .add("most", Long.toString(maxBytes))
            .add("limit", Integer.toString(limit));
    return new Writer(path, maxBytes, open(request), false);
  }

  @Override
  public int collect(
      String path, List<String> patterns, long maxBytes, int limit, ChunkConsumer consumer) {
    notNegative("maxBytes", maxBytes);
    Fields request =
        request("collect", path)
            .add("most", Long.toString(maxBytes))
            .add("limit", Integer.toString(limit));
    patterns.forEach(pattern -> request.add("pattern", FileNames.encode(pattern)));
    // The worker counts the files alone; of what surrounds them it is to choose no size either.
    long left = maxBytes + (limit + 1L) * MAX_ARCHIVE_ENTRY_BYTES;
    try (Connection worker = open(request)) {
      Frame frame = reply(worker, path);
      for (; frame.type() == Frame.DATA; frame = reply(worker, path)) {
        left -= frame.payload().remaining();
        if (left < 0) {
          throw new ProtocolException("an archive larger than what was asked for");
        }
        consumer.accept(frame.payload());
      }
      return Integer.parseInt(expect(Frame.DONE, frame).texts(1).getFirst());
    } catch (IOException | NumberFormatException e) {
      throw gone(e);
    }
  }

  @Override
  public long uploadedBytes(UUID uploadId) {
    try {
      return stat(part(uploadId)).sizeBytes();
    } catch (EngineFileException e) {
      if (e.kind() == EngineFileException.Kind.NOT_FOUND) {
        return 0;
      }
      throw e;
    }
  }

  private static String part(UUID uploadId) {
    return UPLOADS + "/" + uploadId;
  }

  @Override
  public void read(String path, long offset, long maxBytes, ChunkConsumer consumer) {
    notNegative("offset", offset);
    notNegative("maxBytes", maxBytes);
    Fields request =
        request("read", path)
            .add("offset", Long.toString(offset))
            .add("most", Long.toString(maxBytes));
    try (Connection worker = open(request)) {
      var _ = takeBytes(worker, path, maxBytes, Frame.DONE, consumer);
    } catch (IOException e) {
      throw gone(e);
    }
  }

  /** Takes bytes until a frame of that type; returns how many there were. */
  private long takeBytes(
      Connection worker, String path, long maxBytes, int end, ChunkConsumer consumer)
      throws IOException {
    long left = maxBytes;
    while (true) {
      Frame frame = reply(worker, path);
      if (frame.type() == end) {
        return maxBytes - left;
      }
      left -= frame.payload().remaining();
      if (frame.type() != Frame.DATA || !frame.payload().hasRemaining() || left < 0) {
        throw new ProtocolException("file frame type " + frame.type());
      }
      consumer.accept(frame.payload());
    }
  }

  @Override
  public List<FileEntry> list(String path, int depth, int limit) {
    if (depth < 1) {
      throw new IllegalArgumentException("depth: " + depth + " (expected: >= 1)");
    }
    if (limit < 1 || limit > MAX_ENTRIES) {
      throw new IllegalArgumentException(
          "limit: " + limit + " (expected: 1 to " + MAX_ENTRIES + ")");
    }
    Fields request =
        request("list", path)
            .add("depth", Integer.toString(depth))
            .add("limit", Integer.toString(limit));
    List<FileEntry> entries = new ArrayList<>();
    try (Connection worker = open(request)) {
      while (true) {
        Frame frame = reply(worker, path);
        if (frame.type() == Frame.DONE) {
          return List.copyOf(entries);
        }
        if (frame.type() != Frame.ENTRY || entries.size() == limit) {
          throw new ProtocolException("file frame type " + frame.type());
        }
        List<String> texts = texts(frame, 6);
        entries.add(new FileEntry(texts.getFirst(), info(texts.subList(1, 6))));
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
  public FileInfo makeDirectory(String path) {
    try (Connection worker = open(request("make", path))) {
      return info(done(worker, path));
    } catch (IOException e) {
      throw gone(e);
    }
  }

  @Override
  public FileInfo move(String path, String toPath, boolean replace) {
    checkPath(toPath);
    Fields request =
        request("move", path)
            .add("to", FileNames.encode(toPath))
            .add("replace", replace ? "1" : "0");
    try (Connection worker = open(request)) {
      return info(done(worker, path));
    } catch (IOException e) {
      throw gone(e);
    }
  }

  @Override
  public void watch(
      String path,
      boolean recursive,
      int limit,
      Consumer<FileInfo> begin,
      Consumer<FileChange> consumer) {
    Fields request =
        request("watch", path)
            .add("recursive", recursive ? "1" : "0")
            .add("limit", Integer.toString(limit));
    try (Connection worker = open(request)) {
      begin.accept(info(expect(Frame.ENTRY, reply(worker, path))));
      // Nothing may happen for as long as it likes, so this wait alone has no end of its own.
      for (Frame frame = checked(worker.read(), path);
          frame.type() != Frame.DONE;
          frame = checked(worker.read(), path)) {
        consumer.accept(change(expect(Frame.CHANGE, frame)));
      }
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
    private final boolean resumable;
    private long left;
    private boolean over;

    Writer(String path, long maxBytes, Connection worker, boolean resumable) {
      this.path = path;
      this.worker = worker;
      this.left = maxBytes;
      this.resumable = resumable;
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
        leave();
      }
    }

    @Override
    public void abort() {
      if (resumable && !over) {
        try {
          worker.write(Frame.DROP, 0);
        } catch (IOException e) {
          logger.debug("An upload's worker went before it could drop what it has", e);
        }
      }
      leave();
    }

    @Override
    public void leave() {
      over = true;
      // Without a commit the worker drops what it has, unless that may be gone on with.
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
        leave();
      }
    }
  }

  private Connection open(Fields request) {
    check.run();
    Connection worker = link.call("file-" + names.incrementAndGet(), "file", GuestFiles::gone);
    try {
      worker.write(Frame.REQUEST, 0, request);
      return worker;
    } catch (IOException e) {
      worker.close();
      throw gone(e);
    }
  }

  private static Fields request(String call, String path) {
    checkPath(path);
    return new Fields().add("call", call).add("path", FileNames.encode(path));
  }

  private static void checkPath(String path) {
    boolean valid =
        !path.isEmpty()
            && path.indexOf('\0') < 0
            && FileNames.encode(path).length < MAX_PATH_BYTES
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
    return expect(Frame.DONE, reply(worker, path));
  }

  private static Frame expect(int type, Frame frame) throws IOException {
    if (frame.type() != type) {
      throw new ProtocolException("file frame type " + frame.type());
    }
    return frame;
  }

  /** Reads a frame; a fault becomes the exception it stands for. */
  private Frame reply(Connection worker, String path) throws IOException {
    return checked(patience.within(worker, worker::read), path);
  }

  /** Returns the frame, unless it is a refusal. */
  private static Frame checked(Frame frame, String path) throws IOException {
    if (frame.type() != Frame.FAULT) {
      return frame;
    }
    List<String> texts = texts(frame, 2);
    EngineFileException.Kind kind;
    try {
      kind = EngineFileException.Kind.valueOf(texts.getFirst());
    } catch (IllegalArgumentException e) {
      throw new ProtocolException("fault " + texts.getFirst());
    }
    throw new EngineFileException(kind, texts.getLast().isEmpty() ? path : texts.getLast());
  }

  private static FileChange change(Frame frame) throws IOException {
    List<String> texts = texts(frame, 3);
    try {
      return new FileChange(FileChange.Type.valueOf(texts.get(0)), texts.get(1), texts.get(2));
    } catch (IllegalArgumentException e) {
      throw new ProtocolException("a change");
    }
  }

  /** Returns the fields of a frame, some of which are names of files. */
  private static List<String> texts(Frame frame, int count) throws IOException {
    return frame.fields(count).stream().map(FileNames::decode).toList();
  }

  private static FileInfo info(Frame frame) throws IOException {
    return info(texts(frame, 5));
  }

  private static FileInfo info(List<String> texts) throws IOException {
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
