package dev.sandkeeper.server.fuzz;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.DynamicMessage;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import java.io.ByteArrayOutputStream;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Requests of HTTP/1 to every route, made from messages, with parts that no client sends. */
final class Requests {
  private static final Pattern VARIABLE = Pattern.compile("\\{\\*?([a-z_]+)}");
  private static final Pattern JSON_VALUE =
      Pattern.compile("(?<=:)(\"[^\"]*\"|-?[0-9]+|true|false)");

  private static final List<String> JSON_VALUES =
      List.of(
          "null",
          "1e999",
          "-1e-999",
          "NaN",
          "Infinity",
          "-0",
          "01",
          "0x1",
          "\"\\ud800\"",
          "\"\\u0000\"",
          "[]",
          "{}",
          "[[[]]]",
          "\"1s\"",
          "\"9999999999999s\"",
          "\"2026-13-45T99:99:99Z\"",
          "\"=\"",
          "9223372036854775808",
          "\"-9223372036854775809\"",
          "1.5",
          "\"\\x\"",
          "'a'",
          "tru",
          "[".repeat(5000),
          "{\"a\":".repeat(3000),
          "\"" + "a".repeat(100_000) + "\"");

  private static final List<String> JSON_PARTS =
      List.of(
          "{",
          "}",
          "[",
          "]",
          "\"",
          ",",
          ":",
          "\\",
          "/**/",
          "//",
          "#",
          "\ufeff",
          "\0",
          "\u0001",
          "\"@type\":\"type.googleapis.com/google.protobuf.Any\",",
          "{},",
          "\"sandboxId\":\"a\",");

  private static final List<String> PATH_PARTS =
      List.of(
          "/",
          "//",
          "/..",
          "/%2e%2e/",
          "/%2F",
          "%",
          "%zz",
          "%00",
          "%ff",
          "%c0%ae",
          ";a=b",
          "?",
          "#",
          ":",
          ":cancel",
          "*",
          "{a}",
          "\\",
          "\u00e9",
          " ",
          "\t",
          "a".repeat(9000));

  private static final List<String> QUERY_PARTS =
      List.of(
          "=",
          "&&",
          "a=b",
          "page_size=",
          "page_size=1&page_size=2",
          "pageSize=1e9",
          "%=%",
          "x=%zz",
          "page_token=%00",
          "page_token=" + "a".repeat(5000),
          "a.b.c=1",
          "sandbox_id=%ff",
          "[]=1",
          "after=99999999999999999999",
          "after=-1",
          "offset=-1",
          "archive=tar",
          "+=+");

  private static final List<String> CONTENT_TYPES =
      List.of(
          "application/json; charset=utf-16",
          "application/json;",
          "text/plain",
          "application/xml",
          "multipart/form-data; boundary=",
          "application/grpc",
          "application/grpc-web+proto",
          "application/grpc+json",
          "application/x-www-form-urlencoded",
          "*/*",
          "json",
          ";",
          "\u00e9/x");

  private static final List<String> HEADERS =
      List.of(
          "accept: nothing/at-all",
          "accept-encoding: gzip, br, x",
          "content-encoding: gzip",
          "range: bytes=0-",
          "range: bytes=5-1",
          "range: bytes=-99999999999999999999",
          "range: lines=1-2",
          "last-event-id: 99999999999999999999",
          "last-event-id: x",
          "last-event-id: 0",
          "grpc-timeout: 1n",
          "grpc-timeout: -1S",
          "grpc-encoding: none",
          "if-none-match: *",
          "x-http-method-override: DELETE",
          "content-md5: x",
          "te: trailers",
          "origin: null",
          "traceparent: 00-zz-zz-01",
          "cookie: " + "a=b; ".repeat(500));

  /** What a client that asks for another protocol sends, and what none would. */
  private static final List<String> UPGRADES =
      List.of(
          "connection: Upgrade\r\nupgrade: websocket",
          "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
              + "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
          "connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-version: 99",
          "connection: Upgrade\r\nupgrade: websocket, h2c",
          "connection: Upgrade\r\nupgrade: \r\nsec-websocket-key: \u00e9",
          "connection: close\r\nupgrade: websocket",
          "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk",
          "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: x",
          "connection: Upgrade\r\nupgrade: TLS/1.0");

  private static final List<String> HOSTS =
      List.of(
          "",
          "x",
          "localhost",
          "127.0.0.1, x",
          "127.0.0.1:99999",
          "x:y:z",
          "[::1]",
          "[::1",
          "user@x",
          "x/y",
          "\u00e9.localhost",
          "x\r\nhost: y",
          "a".repeat(300),
          "8080-" + "a".repeat(20) + "." + Route.PORT_DOMAIN,
          "0-" + "a".repeat(20) + "." + Route.PORT_DOMAIN,
          "99999-" + "a".repeat(20) + "." + Route.PORT_DOMAIN + ".:1",
          "8080-a." + Route.PORT_DOMAIN,
          "*." + Route.PORT_DOMAIN,
          "." + Route.PORT_DOMAIN);

  /** What is behind a port's path, for the program that listens there or for none. */
  private static final List<String> RESTS =
      List.of(
          "",
          "x?y=z&y",
          "a//b/../%2e%2e/c",
          "%zz",
          "bytes?10",
          "bytes?x",
          "headers",
          "redirect",
          "junk",
          "silent",
          "?sandkeeper-token=",
          "?sandkeeper-token=a.1.b.c&sandkeeper-token",
          "\\/evil.example/?sandkeeper-token=" + "a".repeat(500));

  private static final List<String> METHODS =
      List.of(
          "PATCH", "TRACE", "OPTIONS", "HEAD", "DELETE", "PUT", "POST", "GET", "CONNECT", "get",
          "BREW");

  private final RandomGenerator random;
  private final Messages messages;
  private final int port;
  private final String key;

  Requests(RandomGenerator random, Messages messages, int port, String key) {
    this.random = random;
    this.messages = messages;
    this.port = port;
    this.key = key;
  }

  /** Makes a request; every third one such as an honest client might send. */
  byte[] request(Route route, int index) {
    boolean honest = index % 3 == 0;
    DynamicMessage.Builder message =
        (honest ? messages.plausible(route.input()) : messages.hostile(route.input())).toBuilder();
    String host = route.host().isEmpty() ? "127.0.0.1:" + port : fill(route.host(), message);
    String path = path(route, message);
    byte[] body =
        route.hasBody() ? json(message.build()).getBytes(StandardCharsets.UTF_8) : new byte[0];
    String query = route.hasBody() ? "" : query(message.build());
    String method = route.method();
    String type = "application/json";
    String header = "accept: */*";
    if (!honest) {
      switch (random.nextInt(10)) {
        case 0 -> path = insert(path, pick(PATH_PARTS));
        case 1 -> query += "&" + pick(QUERY_PARTS);
        case 2 -> type = pick(CONTENT_TYPES);
        case 3 -> header = pick(HEADERS);
        case 4 -> method = pick(METHODS);
        case 5 -> host = pick(HOSTS);
        case 6 -> header = pick(UPGRADES);
        default -> body = spoil(body);
      }
    }
    String head =
        method
            + " "
            + path
            + (query.isEmpty() ? "" : "?" + query)
            + " HTTP/1.1\r\n"
            + "host: "
            + host
            + (header.startsWith("connection: ") ? "" : "\r\nconnection: close")
            + "\r\nauthorization: Bearer "
            + key
            + "\r\n"
            + header
            + "\r\n"
            + (body.length == 0
                ? ""
                : "content-type: " + type + "\r\ncontent-length: " + body.length + "\r\n")
            + "\r\n";
    ByteArrayOutputStream request = new ByteArrayOutputStream();
    request.writeBytes(head.getBytes(StandardCharsets.UTF_8));
    request.writeBytes(body);
    return request.toByteArray();
  }

  private String path(Route route, DynamicMessage.Builder message) {
    String path = fill(route.template(), message);
    return random.nextInt(10) == 0 ? Route.ALIAS + path : path;
  }

  /** Puts fields of a message into a text, and takes them out of the message. */
  private String fill(String template, DynamicMessage.Builder message) {
    Matcher variables = VARIABLE.matcher(template);
    StringBuilder filled = new StringBuilder();
    while (variables.find()) {
      FieldDescriptor field = message.getDescriptorForType().findFieldByName(variables.group(1));
      String value = field == null ? pick(RESTS) : encode(String.valueOf(message.getField(field)));
      if (field != null) {
        message.clearField(field);
      }
      var _ = variables.appendReplacement(filled, Matcher.quoteReplacement(value));
    }
    var _ = variables.appendTail(filled);
    return filled.toString();
  }

  private static String query(DynamicMessage message) {
    List<String> parameters = new ArrayList<>();
    message
        .getAllFields()
        .forEach((field, value) -> {
          for (Object one : field.isRepeated() ? (List<?>) value : List.of(value)) {
            if (parameters.size() < 100) {
              String text = one instanceof DynamicMessage part ? json(part) : one.toString();
              parameters.add(field.getName() + "=" + encode(text.replace("\"", "")));
            }
          }
        });
    return String.join("&", parameters);
  }

  /**
   * Returns a message as JSON; one that has no JSON, as it has no such time, as an empty object.
   */
  private static String json(DynamicMessage message) {
    try {
      return JsonFormat.printer().omittingInsignificantWhitespace().print(message);
    } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
      return "{}";
    }
  }

  private byte[] spoil(byte[] body) {
    String text = new String(body, StandardCharsets.UTF_8);
    switch (random.nextInt(5)) {
      case 0 -> text = insert(text, pick(JSON_PARTS));
      case 1 -> text = text.substring(0, random.nextInt(text.length() + 1));
      case 2 -> {
        byte[] bytes = (text + " ").getBytes(StandardCharsets.UTF_8);
        bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
        return bytes;
      }
      default -> {
        List<MatchResult> values = JSON_VALUE.matcher(text).results().toList();
        if (values.isEmpty()) {
          return pick(JSON_VALUES).getBytes(StandardCharsets.UTF_8);
        }
        MatchResult value = values.get(random.nextInt(values.size()));
        text = text.substring(0, value.start()) + pick(JSON_VALUES) + text.substring(value.end());
      }
    }
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private String insert(String text, String part) {
    int at = random.nextInt(text.length() + 1);
    return text.substring(0, at) + part + text.substring(at);
  }

  private String pick(List<String> of) {
    return of.get(random.nextInt(of.size()));
  }

  private static String encode(String text) {
    return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
  }
}
