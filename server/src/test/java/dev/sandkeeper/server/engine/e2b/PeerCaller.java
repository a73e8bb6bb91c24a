package dev.sandkeeper.server.engine.e2b;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.errorprone.annotations.CanIgnoreReturnValue;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

/** Somebody who calls a peer by plain HTTP, as the contract wants it. */
final class PeerCaller implements AutoCloseable {
  static final String START = "/process.Process/Start";
  static final String CONNECT = "/process.Process/Connect";

  private static final JsonMapper JSON = new JsonMapper();
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final int FRAME_HEAD = 5;

  private final HttpClient client =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  private final Peer peer;

  PeerCaller(Peer peer) {
    this.peer = peer;
  }

  /** A sandbox of the peer's, as its maker knows it. */
  record Made(String id, String token) {}

  @Override
  public void close() {
    // Streams that a test has left open would keep it waiting.
    client.shutdownNow();
    client.close();
  }

  /** Returns a message from JSON in which apostrophes stand for quotation marks. */
  static ObjectNode json(String text) {
    try {
      return (ObjectNode) JSON.readTree(text.replace('\'', '"'));
    } catch (IOException e) {
      throw new AssertionError(text, e);
    }
  }

  @CanIgnoreReturnValue
  Made create() throws IOException, InterruptedException {
    return create("{'templateID':'base'}");
  }

  @CanIgnoreReturnValue
  Made create(String settings) throws IOException, InterruptedException {
    HttpResponse<String> made = control("POST", "/v2/sandboxes", settings);
    assertThat(made.statusCode()).as(made.body()).isEqualTo(201);
    JsonNode json = JSON.readTree(made.body());
    return new Made(json.path("sandboxID").asText(), json.path("envdAccessToken").asText());
  }

  /** Calls the control API; a body that is not empty is JSON with apostrophes. */
  HttpResponse<String> control(String method, String path, String body)
      throws IOException, InterruptedException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(peer.uri().resolve(path))
            .timeout(PATIENCE)
            .header("X-API-Key", peer.key())
            .method(method, BodyPublishers.ofString(body.replace('\'', '"')));
    if (!body.isEmpty()) {
      request.header("Content-Type", "application/json");
    }
    return client.send(request.build(), BodyHandlers.ofString());
  }

  /** Begins a request for a port of a sandbox. */
  HttpRequest.Builder request(Made made, int port, String path) {
    return HttpRequest.newBuilder(peer.uri().resolve(path))
        .timeout(PATIENCE)
        .header("E2b-Sandbox-Id", made.id())
        .header("E2b-Sandbox-Port", String.valueOf(port))
        .header("X-Access-Token", made.token());
  }

  /** Begins a request for the daemon of a sandbox. */
  HttpRequest.Builder daemon(Made made, String path) {
    return request(made, 49983, path);
  }

  HttpResponse<byte[]> send(HttpRequest.Builder request) throws IOException, InterruptedException {
    return client.send(request.build(), BodyHandlers.ofByteArray());
  }

  int health(Made made) throws IOException, InterruptedException {
    return send(daemon(made, "/health")).statusCode();
  }

  /** Calls the daemon for one answer. */
  HttpResponse<byte[]> call(Made made, String path, String message)
      throws IOException, InterruptedException {
    return send(
        daemon(made, path)
            .header("Content-Type", "application/json")
            .header("Connect-Protocol-Version", "1")
            .POST(BodyPublishers.ofString(message.replace('\'', '"'))));
  }

  /** Starts a script whose input is empty. */
  Events run(Made made, String script, String... headers) throws IOException, InterruptedException {
    ObjectNode start = json("{'stdin':false,'process':{'cmd':'/bin/sh','args':['-c']}}");
    start.withArray("/process/args").add(script);
    return stream(made, START, start, headers);
  }

  /** Calls the daemon for a stream of answers. */
  Events stream(Made made, String path, JsonNode message, String... headers)
      throws IOException, InterruptedException {
    HttpRequest.Builder request =
        daemon(made, path)
            .header("Content-Type", "application/connect+json")
            .header("Connect-Protocol-Version", "1")
            .POST(BodyPublishers.ofByteArray(frame(message)));
    if (headers.length > 0) {
      request.headers(headers);
    }
    return new Events(client.send(request.build(), BodyHandlers.ofInputStream()).body());
  }

  static byte[] frame(JsonNode message) {
    byte[] bytes = message.toString().getBytes(StandardCharsets.UTF_8);
    return ByteBuffer.allocate(FRAME_HEAD + bytes.length)
        .put((byte) 0)
        .putInt(bytes.length)
        .put(bytes)
        .array();
  }

  /** The messages of a stream as they come; closing it goes away from them. */
  record Events(InputStream body) implements AutoCloseable {
    /** Waits for the next message, which may be the last with what ended the stream. */
    JsonNode next() throws IOException {
      DataInputStream input = new DataInputStream(body);
      input.skipNBytes(1);
      byte[] message = new byte[input.readInt()];
      input.readFully(message);
      return JSON.readTree(message);
    }

    /** Returns the process that the first message tells of. */
    int pid() throws IOException {
      return next().at("/event/start/pid").asInt();
    }

    /** Waits for the end of the stream and returns all that came, without the last message. */
    List<JsonNode> rest() throws IOException {
      List<JsonNode> messages = new ArrayList<>();
      JsonNode message = next();
      while (message.has("event")) {
        messages.add(message.path("event"));
        message = next();
      }
      assertThat(message.toString()).isEqualTo("{}");
      assertThat(body.read()).isEqualTo(-1);
      return messages;
    }

    @Override
    public void close() throws IOException {
      body.close();
    }
  }

  /** Returns what a kind of output says in messages. */
  static String output(List<JsonNode> events, String kind) {
    StringBuilder text = new StringBuilder();
    for (JsonNode event : events) {
      byte[] data = Base64.getDecoder().decode(event.at("/data/" + kind).asText(""));
      text.append(new String(data, StandardCharsets.UTF_8));
    }
    return text.toString();
  }
}
