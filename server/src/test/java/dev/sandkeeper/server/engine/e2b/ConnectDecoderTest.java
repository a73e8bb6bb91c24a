package dev.sandkeeper.server.engine.e2b;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

// Goal: the same messages however the stream is cut, and none that was not sent.
final class ConnectDecoderTest {
  private static final List<String> MESSAGES =
      List.of("{\"a\":1}", "{}", "{\"event\":{\"data\":{\"stdout\":\"aGk=\"}}}");

  private static byte[] stream(String end) {
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    MESSAGES.forEach(m -> all.writeBytes(ConnectDecoder.envelope(m.getBytes(UTF_8))));
    byte[] last = ConnectDecoder.envelope(end.getBytes(UTF_8));
    last[0] = 2;
    all.writeBytes(last);
    return all.toByteArray();
  }

  private static List<String> drain(ConnectDecoder decoder) throws Exception {
    List<String> found = new ArrayList<>();
    for (Optional<JsonNode> message = decoder.next();
        message.isPresent();
        message = decoder.next()) {
      found.add(message.get().toString());
    }
    return found;
  }

  @Test
  void everyCutGivesTheSameMessages() throws Exception {
    byte[] stream = stream("{}");
    for (int cut = 0; cut <= stream.length; cut++) {
      ConnectDecoder decoder = new ConnectDecoder();
      decoder.add(ByteBuffer.wrap(stream, 0, cut));
      List<String> found = drain(decoder);
      assertThat(decoder.ended()).isEqualTo(cut == stream.length);
      decoder.add(ByteBuffer.wrap(stream, cut, stream.length - cut));
      found.addAll(drain(decoder));

      assertThat(found).isEqualTo(MESSAGES);
      assertThat(decoder.ended()).isTrue();
    }
  }

  @Test
  void piecesOfAnySizeGiveTheSameMessages() throws Exception {
    byte[] stream = stream("{\"metadata\":{}}");
    for (int size = 1; size <= stream.length; size++) {
      ConnectDecoder decoder = new ConnectDecoder();
      List<String> found = new ArrayList<>();
      for (int at = 0; at < stream.length; at += size) {
        decoder.add(ByteBuffer.wrap(stream, at, Math.min(size, stream.length - at)));
        found.addAll(drain(decoder));
      }
      assertThat(found).isEqualTo(MESSAGES);
      assertThat(decoder.ended()).isTrue();
    }
  }

  @Test
  void longMessagesGrowTheBuffer() throws Exception {
    String text = "\"" + "x".repeat(300_000) + "\"";
    byte[] stream = ConnectDecoder.envelope(text.getBytes(UTF_8));
    ConnectDecoder decoder = new ConnectDecoder();
    List<String> found = new ArrayList<>();
    for (int round = 0; round < 3; round++) {
      for (int at = 0; at < stream.length; at += 70_001) {
        decoder.add(ByteBuffer.wrap(stream, at, Math.min(70_001, stream.length - at)));
        found.addAll(drain(decoder));
      }
    }
    assertThat(found).containsExactly(text, text, text);
  }

  @Test
  void anErrorAtTheEndIsAFailure() {
    ConnectDecoder decoder = new ConnectDecoder();
    decoder.add(
        ByteBuffer.wrap(stream("{\"error\":{\"code\":\"not_found\",\"message\":\"no x\"}}")));

    assertThatThrownBy(() -> drain(decoder))
        .isInstanceOfSatisfying(
            E2bException.class,
            e -> {
              assertThat(e.kind()).isEqualTo(E2bException.Kind.NOT_FOUND);
              assertThat(e.errorCode()).isEqualTo("not_found");
            })
        .hasMessage("the stream ended: not_found no x");
  }

  @Test
  void whatIsNotDocumentedIsRefused() {
    assertThatThrownBy(() -> decode(new byte[] {1, 0, 0, 0, 2, '{', '}'}))
        .isInstanceOf(Json.MalformedException.class);
    assertThatThrownBy(() -> decode(new byte[] {0, -1, 0, 0, 2, '{', '}'}))
        .isInstanceOf(Json.MalformedException.class);
    assertThatThrownBy(() -> decode(new byte[] {0, 1, 0, 0, 2, '{', '}'}))
        .isInstanceOf(Json.MalformedException.class);
    assertThatThrownBy(() -> decode(new byte[] {0, 0, 0, 0, 2, '{', '{'}))
        .isInstanceOf(Json.MalformedException.class);
    assertThatThrownBy(() -> decode(new byte[] {2, 0, 0, 0, 2, '{', '}', 0}))
        .isInstanceOf(Json.MalformedException.class);
  }

  private static void decode(byte[] bytes) throws Exception {
    ConnectDecoder decoder = new ConnectDecoder();
    decoder.add(ByteBuffer.wrap(bytes));
    drain(decoder);
  }
}
