package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Keeps what an execution told. */
public final class Recording implements ExecutionListener {

  private static final long PATIENCE_SECONDS = 60;

  private final ByteArrayOutputStream stdout = new ByteArrayOutputStream();
  private final ByteArrayOutputStream stderr = new ByteArrayOutputStream();
  private final Map<String, String> results = new LinkedHashMap<>();
  private final List<CodeError> errors = new ArrayList<>();
  private final long stdoutBefore;
  private long told;
  private final CompletableFuture<Integer> started = new CompletableFuture<>();
  private final CompletableFuture<ExecutionEnd> finished = new CompletableFuture<>();

  public Recording() {
    this(0);
  }

  /** Expects output behind so many bytes. */
  public Recording(long stdoutBefore) {
    this.stdoutBefore = stdoutBefore;
  }

  @Override
  public synchronized void started(int pid) {
    told++;
    started.complete(pid);
  }

  @Override
  public synchronized void output(OutputStreamKind kind, long offset, ByteBuffer bytes) {
    told++;
    assertThat(offset)
        .isEqualTo(kind == OutputStreamKind.STDOUT ? stdoutBefore + stdout.size() : stderr.size());
    byte[] copy = new byte[bytes.remaining()];
    bytes.get(copy);
    (kind == OutputStreamKind.STDOUT ? stdout : stderr).writeBytes(copy);
  }

  @Override
  public synchronized void result(Map<String, byte[]> mimeData) {
    told++;
    mimeData.forEach((type, value) -> results.put(type, new String(value, StandardCharsets.UTF_8)));
  }

  @Override
  public synchronized void error(CodeError error) {
    told++;
    errors.add(error);
  }

  @Override
  public void finished(ExecutionEnd end, Runnable kept) {
    kept.run();
    if (!finished.complete(end)) {
      throw new IllegalStateException("finished twice");
    }
  }

  public int awaitStarted() throws Exception {
    return started.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  public ExecutionEnd await() throws Exception {
    return finished.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  /** Returns how often it was told something before the end. */
  public synchronized long told() {
    return told;
  }

  public boolean isFinished() {
    return finished.isDone();
  }

  public synchronized byte[] stdoutBytes() {
    return stdout.toByteArray();
  }

  public synchronized String stdout() {
    return stdout.toString(StandardCharsets.UTF_8);
  }

  public synchronized String stderr() {
    return stderr.toString(StandardCharsets.UTF_8);
  }

  public synchronized Map<String, String> results() {
    return Map.copyOf(results);
  }

  public synchronized List<CodeError> errors() {
    return List.copyOf(errors);
  }
}
