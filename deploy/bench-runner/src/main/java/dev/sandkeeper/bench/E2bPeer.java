package dev.sandkeeper.bench;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** A server of E2B's protocol on this machine, and a client of it that does nothing else. */
final class E2bPeer {
  private static final String KEY = "e2b_0123456789abcdef";
  private static final String LISTENING = "listening on ";
  private static final String STREAM = "application/connect+json";
  private static final int MAX_SANDBOXES = 1000;
  private static final int END_OF_STREAM = 2;
  private static final int STOP_SECONDS = 30;
  private static final ObjectMapper JSON = new ObjectMapper();

  private final Process process;
  private final String url;
  private final HttpClient client =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  private E2bPeer(Process process, String url) {
    this.process = process;
    this.url = url;
  }

  /** A sandbox that was made without us. */
  record Made(String id, String token) {}

  /** Starts it, and waits until it listens. */
  static E2bPeer start(Path program) throws IOException {
    Process process =
        new ProcessBuilder(
                "python3",
                "-I",
                program.toString(),
                "--port",
                "0",
                "--key",
                KEY,
                "--max-sandboxes",
                Integer.toString(MAX_SANDBOXES))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    BufferedReader output = process.inputReader(StandardCharsets.UTF_8);
    String line = output.readLine();
    if (line == null || !line.startsWith(LISTENING)) {
      process.destroyForcibly();
      throw new BenchException("the peer of E2B did not start: " + line);
    }
    return new E2bPeer(process, "http://" + line.substring(LISTENING.length()));
  }

  /** Returns the variables of the environment of a server that runs its sandboxes here. */
  Map<String, String> settings() {
    return Map.of(
        "SANDKEEPER_ENGINE_DEFAULT", "e2b",
        "SANDKEEPER_ENGINE_E2B_API_KEY", KEY,
        "SANDKEEPER_ENGINE_E2B_API_URL", url,
        "SANDKEEPER_ENGINE_E2B_SANDBOX_URL", url,
        "SANDKEEPER_ENGINE_E2B_MAX_SANDBOXES", Integer.toString(MAX_SANDBOXES));
  }

  /** Makes a sandbox as E2B's own clients do. */
  Made create() throws IOException, InterruptedException {
    String body =
        "{\"templateID\": \"base\", \"timeout\": 600, \"secure\": true, \"autoPause\": false}";
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/sandboxes"))
            .header("X-API-KEY", KEY)
            .header("Content-Type", "application/json")
            .POST(BodyPublishers.ofString(body))
            .build();
    HttpResponse<String> answer = client.send(request, BodyHandlers.ofString());
    if (answer.statusCode() != 201) {
      throw new BenchException("the peer made no sandbox: " + answer.body());
    }
    JsonNode made = JSON.readTree(answer.body());
    return new Made(made.path("sandboxID").asText(), made.path("envdAccessToken").asText());
  }

  /** Ends a sandbox. */
  void kill(Made sandbox) throws IOException, InterruptedException {
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/sandboxes/" + sandbox.id()))
            .header("X-API-KEY", KEY)
            .DELETE()
            .build();
    int status = client.send(request, BodyHandlers.discarding()).statusCode();
    if (status != 204) {
      throw new BenchException("the peer did not end a sandbox: " + status);
    }
  }

  /** Runs {@code true} in a sandbox as E2B's own clients do, but without a shell. */
  void runTrue(Made sandbox) throws IOException, InterruptedException {
    byte[] message =
        "{\"process\": {\"cmd\": \"true\", \"args\": []}, \"stdin\": false}"
            .getBytes(StandardCharsets.UTF_8);
    byte[] envelope =
        ByteBuffer.allocate(5 + message.length)
            .put((byte) 0)
            .putInt(message.length)
            .put(message)
            .array();
    HttpRequest request =
        HttpRequest.newBuilder(URI.create(url + "/process.Process/Start"))
            .header("E2b-Sandbox-Id", sandbox.id())
            .header("E2b-Sandbox-Port", "49983")
            .header("X-Access-Token", sandbox.token())
            .header("Connect-Protocol-Version", "1")
            .header("Keepalive-Ping-Interval", "50")
            .header("Content-Type", STREAM)
            .POST(BodyPublishers.ofByteArray(envelope))
            .build();
    HttpResponse<InputStream> answer = client.send(request, BodyHandlers.ofInputStream());
    try (DataInputStream stream = new DataInputStream(answer.body())) {
      boolean succeeded = false;
      int flags = 0;
      while (flags != END_OF_STREAM) {
        flags = stream.readUnsignedByte();
        JsonNode event = JSON.readTree(stream.readNBytes(stream.readInt())).path("event");
        succeeded |= event.path("end").path("exited").asBoolean();
      }
      if (!succeeded) {
        throw new BenchException("true did not succeed at the peer");
      }
    }
  }

  /** Ends it with all its sandboxes. */
  void stop() throws IOException, InterruptedException {
    client.close();
    process.getOutputStream().close();
    if (!process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new BenchException("the peer of E2B did not end");
    }
  }
}
