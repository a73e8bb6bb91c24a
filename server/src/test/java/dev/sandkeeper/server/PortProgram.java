package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.v1.ExecutionEvent;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Objects;

/** The program of {@code ports/program.py}, which listens on a port in a sandbox. */
public final class PortProgram {
  private PortProgram() {}

  /** Starts it, and returns once it listens. */
  public static void listen(Caller caller, String sandboxId, String address, int port) {
    String encoded = Base64.getEncoder().encodeToString(source());
    List<ExecutionEvent> events =
        caller.shell(
            sandboxId,
            "echo %s | base64 -d > program.py && python3 program.py %s %d"
                .formatted(encoded, address, port));
    assertThat(Caller.finished(events).getExitCode()).as(Caller.stderr(events)).isZero();
  }

  private static byte[] source() {
    try (var stream = PortProgram.class.getResourceAsStream("/ports/program.py")) {
      return new String(Objects.requireNonNull(stream).readAllBytes(), StandardCharsets.UTF_8)
          .getBytes(StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }
}
