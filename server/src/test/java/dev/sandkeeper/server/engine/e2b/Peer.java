package dev.sandkeeper.server.engine.e2b;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.google.errorprone.annotations.CanIgnoreReturnValue;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * A server of E2B's protocol on the loopback interface, with real sandboxes and faults on demand.
 *
 * <p>It is deploy/e2b-peer, whose README says what the faults are. Closing it ends its sandboxes.
 */
public final class Peer implements AutoCloseable {
  private static final String PROGRAM = "../deploy/e2b-peer/peer.py";
  private static final String KEY = "e2b_0123456789abcdef";
  private static final String LISTENING = "listening on ";
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final JsonMapper JSON = new JsonMapper();

  private final Process process;
  private final BufferedReader output;
  private final URI uri;
  private final HttpClient client =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  private Peer(Process process, BufferedReader output, URI uri) {
    this.process = process;
    this.output = output;
    this.uri = uri;
  }

  /**
   * Starts a peer and waits until it serves.
   *
   * @param options more of its options, such as {@code --max-sandboxes}
   */
  public static Peer start(String... options) {
    List<String> command =
        new ArrayList<>(List.of("python3", "-I", PROGRAM, "--port", "0", "--key", KEY));
    command.addAll(List.of(options));
    try {
      Process process =
          new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
      BufferedReader output = process.inputReader();
      String line = output.readLine();
      if (line == null || !line.startsWith(LISTENING)) {
        process.destroyForcibly();
        throw new IllegalStateException("The peer did not start, but said: " + line);
      }
      return new Peer(process, output, URI.create("http://" + line.substring(LISTENING.length())));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Returns the address of both planes. */
  public URI uri() {
    return uri;
  }

  /** Returns the key of the team whose sandboxes it has. */
  public String key() {
    return KEY;
  }

  /**
   * A request as it reached the peer.
   *
   * @param sandbox the id in the routing header, or nothing
   * @param time when it came, in ISO 8601
   */
  public record Request(String method, String path, String sandbox, String time) {}

  /**
   * Asks for a fault.
   *
   * @param kind what happens, such as {@code cut_frame}
   * @param path an expression that is found in the paths it happens to
   * @param settings names and values by turns, such as {@code "frames", 2, "times", 3}
   */
  @CanIgnoreReturnValue
  public JsonNode fault(String kind, String path, Object... settings) {
    Map<String, Object> fault = new LinkedHashMap<>(Map.of("kind", kind, "path", path));
    for (int i = 0; i < settings.length; i += 2) {
      fault.put((String) settings[i], settings[i + 1]);
    }
    return control("POST", "faults", JSON.valueToTree(fault).toString());
  }

  /** Returns the faults that have not happened yet. */
  List<JsonNode> faults() {
    return list(control("GET", "faults", ""));
  }

  /** Takes back the faults that have not happened yet. */
  public void clearFaults() {
    var _ = control("DELETE", "faults", "");
  }

  /** Returns what clients sent against the contract. */
  public List<JsonNode> violations() {
    return list(control("GET", "violations", ""));
  }

  /** Returns the requests of clients, the oldest first. */
  public List<Request> requests() {
    return list(control("GET", "requests", "")).stream()
        .map(seen ->
            new Request(
                seen.path("method").asText(),
                seen.path("path").asText(),
                seen.path("sandbox").asText(""),
                seen.path("time").asText()))
        .toList();
  }

  /** Returns the sandboxes there are, running and paused. */
  public List<JsonNode> sandboxes() {
    return list(control("GET", "sandboxes", ""));
  }

  /** Pauses a sandbox as another client of the account would. */
  public void pause(String sandboxId) {
    HttpRequest request =
        HttpRequest.newBuilder(uri.resolve("/sandboxes/" + sandboxId + "/pause"))
            .header("X-API-KEY", KEY)
            .header("Content-Type", "application/json")
            .timeout(PATIENCE)
            .POST(BodyPublishers.ofString("{}"))
            .build();
    try {
      int status = client.send(request, BodyHandlers.discarding()).statusCode();
      if (status != 204) {
        throw new IllegalStateException("The sandbox was not paused: " + status);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  /** Ends a sandbox as a crash of its machine would. */
  public void kill(String sandboxId) {
    var _ = control("POST", "kill/" + sandboxId, "");
  }

  @Override
  public void close() {
    client.close();
    try {
      // It ends with its input.
      process.getOutputStream().close();
      if (!process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
        process.destroyForcibly();
        throw new IllegalStateException("The peer did not end.");
      }
      output.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
  }

  private JsonNode control(String method, String path, String body) {
    HttpRequest request =
        HttpRequest.newBuilder(uri.resolve("/_peer/" + path))
            .timeout(PATIENCE)
            .method(method, BodyPublishers.ofString(body))
            .build();
    try {
      HttpResponse<String> response = client.send(request, BodyHandlers.ofString());
      if (response.statusCode() != 200) {
        throw new IllegalStateException(response.statusCode() + ": " + response.body());
      }
      return JSON.readTree(response.body());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }

  private static List<JsonNode> list(JsonNode array) {
    List<JsonNode> elements = new ArrayList<>();
    array.forEach(elements::add);
    return elements;
  }
}
