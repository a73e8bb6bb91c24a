package dev.sandkeeper.server.engine.local;

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
  private final CompletableFuture<Integer> started = new CompletableFuture<>();
  private final CompletableFuture<ExecutionEnd> finished = new CompletableFuture<>();

  @Override
  public void started(int pid) {
    started.complete(pid);
  }

  @Override
  public synchronized void output(OutputStreamKind kind, ByteBuffer bytes) {
    byte[] copy = new byte[bytes.remaining()];
    bytes.get(copy);
    (kind == OutputStreamKind.STDOUT ? stdout : stderr).writeBytes(copy);
  }

  @Override
  public synchronized void result(Map<String, byte[]> mimeData) {
    mimeData.forEach((type, value) -> results.put(type, new String(value, StandardCharsets.UTF_8)));
  }

  @Override
  public synchronized void error(CodeError error) {
    errors.add(error);
  }

  @Override
  public void finished(ExecutionEnd end) {
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
