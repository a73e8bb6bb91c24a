package dev.sandkeeper.server.engine.guest;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/**
 * Names of files, which are any bytes, as text and back without a loss.
 *
 * <p>What is UTF-8 is itself. Each byte that is no part of it is one character, from U+EF80 for
 * 0x80 to U+EFFF for 0xFF. Those are for private use; where a name has one of them in UTF-8, its
 * three bytes are told in the same way, so that no two names are one text.
 */
final class FileNames {
  private static final int BASE = 0xEF00;
  private static final int FIRST = BASE + 0x80;
  private static final int LAST = BASE + 0xFF;

  private FileNames() {}

  static String decode(byte[] name) {
    CharsetDecoder decoder =
        StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT);
    ByteBuffer in = ByteBuffer.wrap(name);
    CharBuffer out = CharBuffer.allocate(name.length);
    StringBuilder text = new StringBuilder(name.length);
    do {
      CoderResult result = decoder.reset().decode(in, out, true);
      out.flip().chars().forEach(character -> append(text, (char) character));
      out.clear();
      for (int left = result.isError() ? result.length() : 0; left > 0; left--) {
        text.append(standIn(in.get()));
      }
    } while (in.hasRemaining());
    return text.toString();
  }

  private static void append(StringBuilder text, char character) {
    if (isStandIn(character)) {
      for (byte octet : String.valueOf(character).getBytes(StandardCharsets.UTF_8)) {
        text.append(standIn(octet));
      }
    } else {
      text.append(character);
    }
  }

  static byte[] encode(String text) {
    ByteArrayOutputStream name = new ByteArrayOutputStream(text.length());
    int from = 0;
    for (int i = 0; i < text.length(); i++) {
      if (isStandIn(text.charAt(i))) {
        name.writeBytes(text.substring(from, i).getBytes(StandardCharsets.UTF_8));
        name.write(text.charAt(i) - BASE);
        from = i + 1;
      }
    }
    name.writeBytes(text.substring(from).getBytes(StandardCharsets.UTF_8));
    return name.toByteArray();
  }

  private static boolean isStandIn(int character) {
    return character >= FIRST && character <= LAST;
  }

  private static char standIn(byte octet) {
    return (char) (BASE + Byte.toUnsignedInt(octet));
  }
}
