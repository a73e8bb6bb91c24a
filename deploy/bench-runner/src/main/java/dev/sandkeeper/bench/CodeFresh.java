package dev.sandkeeper.bench;

import com.google.protobuf.ByteString;
import dev.sandkeeper.client.ExecutionStream;
import dev.sandkeeper.v1.Code;
import dev.sandkeeper.v1.CreateContextRequest;
import dev.sandkeeper.v1.ExecuteRequest;
import dev.sandkeeper.v1.Language;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/**
 * Creates a Python context and runs code in it that imports numpy, to the last event; raw: {@code
 * python3 -c "import numpy"} on the host.
 */
final class CodeFresh implements Row {
  /** That of the sandboxes. */
  private static final String PYTHON = "/usr/bin/python3";

  private static final String VERSION = "import numpy; print(numpy.__version__)";
  private static final String IS_LOADED = "import sys; print('numpy' in sys.modules)";

  /** Much more than are made while the sandbox loads the modules. */
  private static final int MOST_BEFORE = 2_000;

  @Override
  public Spec spec() {
    return new Spec("code_fresh", "ms", Better.LOWER, Floor.p50(8), 1_000, 10);
  }

  @Override
  public Runs start(Lab lab) throws IOException, InterruptedException {
    Workplace place = lab.startWorkplace();
    awaitLoaded(place);
    Path log = lab.folder().resolve("raw-python.log");
    return Runs.of(
        () -> take(place),
        () -> Timing.millis(() -> Programs.run(log, List.of(PYTHON, "-c", "import numpy"))));
  }

  /** The first context begins the loading, which the next ones do not wait for. */
  private static void awaitLoaded(Workplace place) {
    for (int i = 0; i < MOST_BEFORE; i++) {
      String id = create(place);
      String output = run(place, id, IS_LOADED);
      place.client().deleteContext(place.sandbox().id(), id);
      if (output.equals("True\n")) {
        return;
      }
    }
    throw new BenchException("fresh contexts do not have numpy loaded (Debian: python3-numpy)");
  }

  private static double take(Workplace place) {
    long start = System.nanoTime();
    String id = create(place);
    String version = run(place, id, VERSION);
    double millis = Timing.millisSince(start);
    place.client().deleteContext(place.sandbox().id(), id);
    if (version.isBlank()) {
      throw new BenchException("numpy printed no version");
    }
    return millis;
  }

  private static String create(Workplace place) {
    return place
        .client()
        .createContext(
            CreateContextRequest.newBuilder()
                .setSandboxId(place.sandbox().id())
                .setLanguage(Language.LANGUAGE_PYTHON)
                .build())
        .getContextId();
  }

  private static String run(Workplace place, String contextId, String source) {
    ExecuteRequest request =
        ExecuteRequest.newBuilder()
            .setSandboxId(place.sandbox().id())
            .setCode(
                Code.newBuilder()
                    .setLanguage(Language.LANGUAGE_PYTHON)
                    .setSource(source)
                    .setContextId(contextId))
            .build();
    try (ExecutionStream stream = place.client().execute(request)) {
      ByteString.Output stdout = ByteString.newOutput();
      Outcomes.requireSuccess(stream.await(bytes -> write(bytes, stdout), stderr -> {}));
      return stdout.toByteString().toStringUtf8();
    }
  }

  private static void write(ByteString bytes, ByteString.Output output) {
    try {
      bytes.writeTo(output);
    } catch (IOException e) {
      throw new BenchException("standard output: " + e.getMessage());
    }
  }
}
