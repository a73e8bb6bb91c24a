package dev.sandkeeper.server;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Somebody who calls the server by plain HTTP with one key. */
final class HttpCaller implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final ObjectMapper JSON = new ObjectMapper();

  private final HttpClient client =
      HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
  private final RunningServer server;

  HttpCaller(RunningServer server) {
    this.server = server;
  }

  /**
   * An answer that is read to its end.
   *
   * @param response status and headers
   * @param bytes the body
   */
  record Answer(HttpResponse<?> response, byte[] bytes) {
    int status() {
      return response.statusCode();
    }

    String text() {
      return new String(bytes, StandardCharsets.UTF_8);
    }

    /** Returns the body as JSON; what is missing in it is a missing node. */
    JsonNode json() {
      try {
        return JSON.readTree(bytes);
      } catch (JsonProcessingException e) {
        throw new AssertionError("no JSON: " + text(), e);
      } catch (IOException e) {
        throw new AssertionError(e);
      }
    }

    JsonNode at(String pointer) {
      return json().at(pointer);
    }

    String header(String name) {
      return response.headers().firstValue(name).orElse("");
    }

    /** Returns the reason of the ErrorInfo that every error carries. */
    String reason() {
      return at("/details").findValuesAsText("reason").getFirst();
    }
  }

  @Override
  public void close() {
    client.close();
  }

  HttpClient client() {
    return client;
  }

  Answer get(String path, String... headers) {
    return send(request(path, headers).GET());
  }

  Answer delete(String path) {
    return send(request(path).DELETE());
  }

  /** Sends JSON by POST. */
  Answer post(String path, String json) {
    return call("POST", path, json);
  }

  /** Sends JSON, or without a body when it is empty. */
  Answer call(String method, String path, String json) {
    return json.isEmpty()
        ? send(request(path).method(method, BodyPublishers.noBody()))
        : send(
            request(path, "content-type", "application/json")
                .method(method, BodyPublishers.ofString(json)));
  }

  Answer send(String method, String path, BodyPublisher body, String... headers) {
    return send(request(path, headers).method(method, body));
  }

  Answer send(HttpRequest.Builder request) {
    HttpResponse<byte[]> response = send(request, BodyHandlers.ofByteArray());
    return new Answer(response, response.body());
  }

  /** Sends and returns when the headers of the answer are there. */
  HttpResponse<InputStream> open(HttpRequest.Builder request) {
    return send(request, BodyHandlers.ofInputStream());
  }

  /** Begins a request with the key of the administrator. */
  HttpRequest.Builder request(String path, String... headers) {
    return anonymous(path, headers).header("authorization", "Bearer " + server.admin().secret());
  }

  /** Begins a request without a key. */
  HttpRequest.Builder anonymous(String path, String... headers) {
    HttpRequest.Builder request = HttpRequest.newBuilder(uri(path)).timeout(PATIENCE);
    return headers.length == 0 ? request : request.headers(headers);
  }

  URI uri(String path) {
    return URI.create("http://127.0.0.1:" + server.port() + path);
  }

  /**
   * Returns the server-sent events of a body, without comments.
   *
   * @param text the body
   */
  static List<ServerSentEvent> events(String text) {
    List<ServerSentEvent> events = new ArrayList<>();
    for (String block : text.split("\n\n", -1)) {
      ServerSentEvent event = ServerSentEvent.parse(block);
      if (!event.event().isEmpty()) {
        events.add(event);
      }
    }
    return events;
  }

  /**
   * A server-sent event.
   *
   * @param id empty when it has none
   * @param event its kind
   * @param data empty when it has none
   */
  record ServerSentEvent(String id, String event, String data) {
    static ServerSentEvent parse(String block) {
      return new ServerSentEvent(field(block, "id"), field(block, "event"), field(block, "data"));
    }

    private static String field(String block, String name) {
      return block
          .lines()
          .filter(line -> line.startsWith(name + ": "))
          .map(line -> line.substring(name.length() + 2))
          .findFirst()
          .orElse("");
    }

    JsonNode json() {
      try {
        return JSON.readTree(data);
      } catch (JsonProcessingException e) {
        throw new AssertionError("no JSON: " + data, e);
      }
    }
  }

  private <T> HttpResponse<T> send(
      HttpRequest.Builder request, HttpResponse.BodyHandler<T> handler) {
    try {
      return client.send(request.build(), handler);
    } catch (IOException e) {
      throw new AssertionError(e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new AssertionError(e);
    }
  }
}
