package dev.sandkeeper.server;

import static dev.sandkeeper.server.wire.Wire.PREFACE;
import static dev.sandkeeper.server.wire.Wire.ascii;
import static dev.sandkeeper.server.wire.Wire.frame;
import static dev.sandkeeper.server.wire.Wire.head;
import static dev.sandkeeper.server.wire.Wire.header;
import static dev.sandkeeper.server.wire.Wire.join;
import static dev.sandkeeper.server.wire.Wire.literal;
import static dev.sandkeeper.server.wire.Wire.number;
import static dev.sandkeeper.server.wire.Wire.repeat;
import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.wire.LogWatch;
import dev.sandkeeper.server.wire.Wire;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Clients that send nothing, junk, too much or too slowly: they are cut off within a bounded time,
 * others are served meanwhile, and nothing of it is an error of the server.
 */
class JunkTest {
  /** The server closes after two seconds; this machine may be busy. */
  private static final Duration SOON = Duration.ofSeconds(20);

  private static final Duration ATTACK = Duration.ofSeconds(5);
  private static final int FRAME_BYTES = 16_000;
  private static final int REFUSED_STREAM = 7;
  private static final int ENHANCE_YOUR_CALM = 11;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_SERVER_IDLE_TIMEOUT", "2 s",
              "SANDKEEPER_SERVER_REQUEST_TIMEOUT", "2 s",
              "SANDKEEPER_SERVER_MAX_STREAMS_PER_CONNECTION", "100"));

  @RegisterExtension final LogWatch log = new LogWatch();

  @AfterEach
  void othersAreServed() {
    assertThat(server.runner().create().getSandboxId()).isNotEmpty();
  }

  static Stream<Arguments> endedSoon() {
    byte[] random = new byte[5000];
    new Random(7).nextBytes(random);
    String grpc = "application/grpc";
    return Stream.of(
        Arguments.of("nothing", new byte[0]),
        Arguments.of("random bytes", random),
        Arguments.of("half a preface", ascii("PRI * HTT")),
        Arguments.of("a preface and nothing else", PREFACE),
        Arguments.of("half a line of HTTP/1", ascii("GET /hea")),
        Arguments.of("no HTTP at all", ascii("GARBAGE\0\1\r\n\r\n")),
        Arguments.of("data on no stream", join(PREFACE, frame(Wire.DATA, 0, 0, new byte[] {1}))),
        Arguments.of(
            "data on a stream that was never opened",
            join(PREFACE, frame(Wire.DATA, 0, 5, new byte[] {1}))),
        Arguments.of("a frame too long", join(PREFACE, new byte[] {-1, -1, -1, 0, 0, 0, 0, 0, 1})),
        Arguments.of(
            "a window of nothing", join(PREFACE, frame(Wire.WINDOW_UPDATE, 0, 0, number(0)))),
        Arguments.of("settings cut short", join(PREFACE, frame(Wire.SETTINGS, 0, 0, ascii("abc")))),
        Arguments.of("a push", join(PREFACE, frame(Wire.PUSH_PROMISE, 4, 1, number(2)))),
        Arguments.of(
            "headers that are no HPACK",
            join(PREFACE, frame(Wire.HEADERS, 5, 1, repeat(new byte[] {-1}, 100)))),
        Arguments.of(
            "a stream of the server's",
            join(PREFACE, frame(Wire.HEADERS, 5, 2, head("GET", "/health")))),
        Arguments.of("a frame of no type", join(PREFACE, frame(77, 0, 0, ascii("zz")))),
        Arguments.of(
            "a stream that depends on itself",
            join(PREFACE, frame(Wire.PRIORITY, 0, 3, join(number(3), new byte[] {16})))),
        Arguments.of(
            "headers that never end",
            join(PREFACE, frame(Wire.HEADERS, 0, 1, head("GET", "/health")))),
        Arguments.of(
            "a call without its message",
            join(
                PREFACE,
                frame(
                    Wire.HEADERS,
                    Wire.END_HEADERS,
                    1,
                    head("POST", "/grpc.health.v1.Health/Check", "content-type", grpc)))),
        Arguments.of("a request without its body", post("content-length: 99", "{")));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void endedSoon(String what, byte[] sent) throws Exception {
    try (Wire wire = new Wire(server.port())) {
      wire.send(sent);

      byte[] answer = wire.readToEnd(SOON);

      assertThat(new String(answer, StandardCharsets.ISO_8859_1)).doesNotContain("200 OK");
    }
  }

  @Test
  void headersThatComeDropByDropAreCutOff() throws Exception {
    try (Wire wire = new Wire(server.port())) {
      wire.send(ascii("GET /health HTTP/1.1\r\nhost: h\r\n"));
      Thread dripping = dripping(wire, "x-more: y\r\n");

      assertThat(wire.readToEnd(SOON)).isEmpty();
      dripping.interrupt();
    }
  }

  @Test
  void bodyThatComesDropByDropIsCutOff() throws Exception {
    try (Wire wire = new Wire(server.port())) {
      wire.send(post("content-length: 99999", ""));
      Thread dripping = dripping(wire, " ");

      assertThat(new String(wire.readToEnd(SOON), StandardCharsets.UTF_8))
          .contains("DEADLINE_EXCEEDED");
      dripping.interrupt();
    }
  }

  @Test
  void bodyWithoutEndIsCutOff() throws Exception {
    try (Wire wire = new Wire(server.port())) {
      wire.send(post("transfer-encoding: chunked", ""));
      long before = heapUsed();

      wire.flood(join(ascii("100000\r\n"), new byte[0x100000], ascii("\r\n")), ATTACK);
      wire.readToEnd(SOON);

      assertThat(heapUsed() - before).isLessThan(100 << 20);
    }
  }

  @Test
  void headersThatAreTooLargeAreRefusedWithoutHarmToOtherCalls() throws Exception {
    try (Wire wire = new Wire(server.port())) {
      wire.send(
          PREFACE,
          headers(
              1, head("POST", "/grpc.health.v1.Health/Watch", "content-type", "application/grpc")));
      wire.send(headers(3, head("GET", "/health", "x-large", "a".repeat(36_000))));

      Wire.Frame answer = wire.readFrame(Wire.HEADERS, SOON);

      assertThat(answer.stream()).isEqualTo(3);
      assertThat(new String(answer.payload(), StandardCharsets.ISO_8859_1)).contains("431");
    }
    try (Wire wire = new Wire(server.port())) {
      wire.send(ascii("GET /health HTTP/1.1\r\nx: " + "a".repeat(36_000) + "\r\n\r\n"));
      assertThat(new String(wire.readToEnd(SOON), StandardCharsets.UTF_8))
          .startsWith("HTTP/1.1 431");
    }
    try (Wire wire = new Wire(server.port())) {
      wire.send(ascii("GET /" + "a".repeat(36_000) + " HTTP/1.1\r\n\r\n"));
      assertThat(new String(wire.readToEnd(SOON), StandardCharsets.UTF_8))
          .startsWith("HTTP/1.1 414");
    }
  }

  @Test
  void headersWithoutEndAreCutOff() throws Exception {
    byte[] more = frame(Wire.CONTINUATION, 0, 1, repeat(header("x-more", "a".repeat(1000)), 10));
    try (Wire wire = new Wire(server.port())) {
      wire.send(PREFACE, frame(Wire.HEADERS, 0, 1, head("GET", "/health")));
      wire.flood(more, ATTACK);
      wire.readToEnd(SOON);
    }
    try (Wire wire = new Wire(server.port())) {
      wire.send(PREFACE, frame(Wire.HEADERS, 0, 1, head("GET", "/health")));
      wire.flood(repeat(frame(Wire.CONTINUATION, 0, 1, new byte[0]), 1000), ATTACK);
      wire.readToEnd(SOON);
    }
  }

  @Test
  void headersThatUnpackToMuchMoreAreRefused() throws Exception {
    // One header of 3,500 bytes that the server is to remember, then told 15,000 times.
    byte[] bomb =
        join(
            head("GET", "/health"),
            new byte[] {0x40},
            literal("x-bomb"),
            literal("a".repeat(3500)),
            repeat(new byte[] {(byte) 0xbe}, 15_000));
    try (Wire wire = new Wire(server.port())) {
      wire.send(PREFACE, frame(Wire.HEADERS, 5, 1, bomb));

      assertThat(new String(wire.readToEnd(SOON), StandardCharsets.ISO_8859_1))
          .doesNotContain("healthy");
    }
  }

  @Test
  void streamsThatAreResetAsSoonAsTheyAreOpenEndTheConnection() throws Exception {
    try (Wire wire = new Wire(server.port())) {
      wire.send(PREFACE);
      Thread.startVirtualThread(() -> floodStreams(wire, Wire.RST_STREAM, number(8)));

      assertThat(wire.readFrame(Wire.GOAWAY, SOON).goAwayCode()).isEqualTo(ENHANCE_YOUR_CALM);
      wire.readToEnd(SOON);
    }
  }

  @Test
  void streamsThatTheServerIsMadeToResetEndTheConnection() throws Exception {
    try (Wire wire = new Wire(server.port())) {
      wire.send(PREFACE);
      Thread.startVirtualThread(() -> floodStreams(wire, Wire.WINDOW_UPDATE, number(0)));

      wire.readToEnd(SOON);
    }
  }

  @Test
  void answersThatNobodyReadsEndTheConnection() throws Exception {
    for (byte[] question :
        new byte[][] {
          frame(Wire.PING, 0, 0, ascii("12345678")), frame(Wire.SETTINGS, 0, 0, new byte[0])
        }) {
      try (Wire wire = new Wire(server.port())) {
        wire.send(PREFACE);
        wire.flood(repeat(question, 1000), ATTACK);
        wire.readToEnd(SOON);
      }
    }
  }

  @Test
  void callsBeyondTheBoundOfAConnectionAreRefusedAndTheOthersGoOn() throws Exception {
    try (Wire wire = new Wire(server.port())) {
      wire.send(PREFACE);
      Wire.Frame settings = wire.readFrame(Wire.SETTINGS, SOON);
      wire.send(frame(Wire.SETTINGS, Wire.ACK, 0, new byte[0]));
      assertThat(settings.payload()).containsSequence(join(new byte[] {0, 3}, number(100)));
      for (int i = 0; i <= 100; i++) {
        wire.send(
            headers(
                2 * i + 1,
                head("POST", "/grpc.health.v1.Health/Watch", "content-type", "application/grpc")));
      }

      Wire.Frame refused = wire.readFrame(Wire.RST_STREAM, SOON);

      assertThat(refused.stream()).isEqualTo(201);
      assertThat(refused.resetCode()).isEqualTo(REFUSED_STREAM);
    }
  }

  /** Begins a request of HTTP/1. */
  private static byte[] post(String length, String body) {
    return ascii(
        String.join(
            "\r\n",
            "POST /v1/sandboxes HTTP/1.1",
            "host: localhost",
            "content-type: application/json",
            length,
            "",
            body));
  }

  /** Begins a call of HTTP/2, whose head may take more than one frame. */
  private static byte[] headers(int stream, byte[] head) {
    byte[] frames = new byte[0];
    for (int from = 0; from < head.length; from += FRAME_BYTES) {
      int to = Math.min(head.length, from + FRAME_BYTES);
      frames =
          join(
              frames,
              frame(
                  from == 0 ? Wire.HEADERS : Wire.CONTINUATION,
                  to == head.length ? Wire.END_HEADERS : 0,
                  stream,
                  Arrays.copyOfRange(head, from, to)));
    }
    return frames;
  }

  private static void floodStreams(Wire wire, int then, byte[] payload) {
    try {
      for (int stream = 1; stream < 40_000; stream += 2) {
        wire.send(
            frame(Wire.HEADERS, 5, stream, head("GET", "/health")),
            frame(then, 0, stream, payload));
      }
    } catch (IOException e) {
      // The server has had enough.
    }
  }

  private static Thread dripping(Wire wire, String drop) {
    return Thread.startVirtualThread(() -> {
      try {
        while (true) {
          Thread.sleep(300);
          wire.send(ascii(drop));
        }
      } catch (IOException | InterruptedException e) {
        // Cut off.
      }
    });
  }

  private static long heapUsed() {
    System.gc();
    return ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed();
  }
}
