package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.CodeError;
import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionListener;
import dev.sandkeeper.server.engine.OutputStreamKind;
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
final class Recording implements ExecutionListener {

  private static final long PATIENCE_SECONDS = 60;

  private final ByteArrayOutputStream stdout = new ByteArrayOutputStream();
  private final ByteArrayOutputStream stderr = new ByteArrayOutputStream();
  private final Map<String, String> results = new LinkedHashMap<>();
  private final List<CodeError> errors = new ArrayList<>();
  private final long stdoutBefore;
  private long told;
  private final CompletableFuture<Integer> started = new CompletableFuture<>();
  private final CompletableFuture<ExecutionEnd> finished = new CompletableFuture<>();

  Recording() {
    this(0);
  }

  /** Expects output behind so many bytes. */
  Recording(long stdoutBefore) {
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

  int awaitStarted() throws Exception {
    return started.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  ExecutionEnd await() throws Exception {
    return finished.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
  }

  /** Returns how often it was told something before the end. */
  synchronized long told() {
    return told;
  }

  boolean isFinished() {
    return finished.isDone();
  }

  synchronized byte[] stdoutBytes() {
    return stdout.toByteArray();
  }

  synchronized String stdout() {
    return stdout.toString(StandardCharsets.UTF_8);
  }

  synchronized String stderr() {
    return stderr.toString(StandardCharsets.UTF_8);
  }

  synchronized Map<String, String> results() {
    return Map.copyOf(results);
  }

  synchronized List<CodeError> errors() {
    return List.copyOf(errors);
  }
}
