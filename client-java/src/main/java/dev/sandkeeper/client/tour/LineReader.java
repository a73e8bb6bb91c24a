package dev.sandkeeper.client.tour;

import com.google.protobuf.ByteString;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;

/** Puts bytes that were cut anywhere together to lines of UTF-8 text. */
final class LineReader implements Consumer<ByteString> {
  private final Consumer<String> lines;
  private final ByteArrayOutputStream rest = new ByteArrayOutputStream();

  LineReader(Consumer<String> lines) {
    this.lines = lines;
  }

  @Override
  public void accept(ByteString bytes) {
    for (ByteString.ByteIterator each = bytes.iterator(); each.hasNext(); ) {
      byte value = each.nextByte();
      if (value == '\n') {
        flush();
      } else {
        rest.write(value);
      }
    }
  }

  /** Hands on what came after the last line break, if anything did. */
  void finish() {
    if (rest.size() > 0) {
      flush();
    }
  }

  private void flush() {
    lines.accept(rest.toString(StandardCharsets.UTF_8));
    rest.reset();
  }
}
