package dev.sandkeeper.client.tour;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LineReaderTest {
  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 5, 100})
  void linesDoNotDependOnWhereTheBytesWereCut(int size) {
    ByteString bytes = ByteString.copyFromUtf8("eins\n\nzwölf €\nrest");
    List<String> lines = new ArrayList<>();
    LineReader reader = new LineReader(lines::add);

    for (int at = 0; at < bytes.size(); at += size) {
      reader.accept(bytes.substring(at, Math.min(at + size, bytes.size())));
    }
    assertThat(lines).containsExactly("eins", "", "zwölf €");
    reader.finish();
    reader.finish();

    assertThat(lines).containsExactly("eins", "", "zwölf €", "rest");
  }
}
