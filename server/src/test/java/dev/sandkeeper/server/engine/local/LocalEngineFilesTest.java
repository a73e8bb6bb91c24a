package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineFileException.Kind;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.FileEntry;
import dev.sandkeeper.server.engine.FileInfo;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** Files of a real sandbox. */
class LocalEngineFilesTest {

  private static final long MOST = 32 * 1024 * 1024;

  private static EngineFixture fixture;
  private static EngineSandbox sandbox;
  private static EngineFiles files;

  @BeforeAll
  static void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
    files = sandbox.files();
  }

  @AfterAll
  static void destroy() throws Exception {
    fixture.close();
  }

  private static FileInfo write(String path, byte[] content) {
    try (EngineFiles.FileWriter writer = files.write(path, MOST)) {
      writer.append(ByteBuffer.wrap(content));
      return writer.commit();
    }
  }

  private static FileInfo write(String path, String content) {
    return write(path, content.getBytes(StandardCharsets.UTF_8));
  }

  private static String bash(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.bash(source)).stdout();
  }

  private static void assertFault(Kind kind, ThrowingCallable call) {
    assertThatExceptionOfType(EngineFileException.class)
        .isThrownBy(call)
        .satisfies(fault -> assertThat(fault.kind()).isEqualTo(kind));
  }

  @Test
  void anEntryTooDeepToBeNamedIsTold() throws Exception {
    bash(
        "mkdir deepest; cd deepest; name=$(printf '%0200d' 0);"
            + " for i in $(seq 25); do mkdir $name; cd $name; done");

    assertThat(files.list("deepest", 19, 100)).hasSize(19);
    assertFault(Kind.TOO_LARGE, () -> files.list("deepest", 64, 100));
  }

  @Test
  void namesMayHaveAnyByte() throws Exception {
    bash("mkdir bytes; touch bytes/$'a\\nb' bytes/$'c\\xffd' bytes/-e 'bytes/ ü'");

    assertThat(files.list("bytes", 1, 10))
        .extracting(FileEntry::relativePath)
        .containsExactlyInAnyOrder("a\nb", "c\uEFFFd", "-e", " ü");
    assertThat(files.move("bytes/a\nb", "bytes/\u0001\\'\"", false).path())
        .isEqualTo("/home/user/bytes/\u0001\\'\"");
    assertThat(files.move("bytes/c\uEFFFd", "bytes/\uEFC3\uEFFE", false).path())
        .isEqualTo("/home/user/bytes/\uEFC3\uEFFE");
    assertThat(write("bytes/\uEFC3\uEFFE", "x").sizeBytes()).isEqualTo(1);
    assertThat(bash("cat bytes/$'\\xc3\\xfe'")).isEqualTo("x");
  }

  @Test
  void nothingMovesOntoOrBelowItself() throws Exception {
    bash("mkdir -p self/dir/sub; cd self; echo a > a; ln a twin; ln -s dir alias");

    for (boolean replace : new boolean[] {false, true}) {
      assertFault(Kind.INTO_ITSELF, () -> files.move("self/a", "self/./a", replace));
      assertFault(Kind.INTO_ITSELF, () -> files.move("self/dir", "self/dir", replace));
      assertFault(Kind.INTO_ITSELF, () -> files.move("self/dir", "self/dir/x/y", replace));
      assertFault(Kind.INTO_ITSELF, () -> files.move("self/dir", "self/alias/x", replace));
    }
    assertFault(Kind.INTO_ITSELF, () -> files.move("self/a", "self/twin", true));
    assertThat(bash("cd self; find . | sort"))
        .isEqualTo(".\n./a\n./alias\n./dir\n./dir/sub\n./twin\n");
  }

  @Test
  void faultIsSaidToAWriterThatComesLate() throws Exception {
    bash("touch late");
    try (EngineFiles.FileWriter writer = files.write("late/below", MOST)) {
      assertFault(
          Kind.NOT_A_DIRECTORY,
          () -> {
            writer.append(ByteBuffer.allocate(1));
            // By then the worker has said why it refuses, and closed its end.
            Thread.sleep(300);
            writer.commit();
          });
    }
  }

  @Test
  void veryLongPathIsRefused() {
    assertFault(Kind.INVALID_PATH, () -> files.stat("x".repeat(5000)));
    assertFault(Kind.INVALID_PATH, () -> files.stat("x".repeat(300)));
  }

  @Test
  void negativeNumbersAreRefused() {
    assertThatThrownBy(() -> files.write("x", -1)).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> EngineFixture.read(files, "x", -1, 1))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> files.list("x", 1, 0)).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> files.list("x", 0, 1)).isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void aTreeOfAnyDepthIsRemoved() throws Exception {
    bash(
        "mkdir -p outside tree/a/b; touch outside/kept tree/a/file; ln -s ../outside tree/link;"
            + " cd tree; for i in {1..3000}; do mkdir d; cd d; touch f; done");

    files.remove("tree", true);

    assertFault(Kind.NOT_FOUND, () -> files.stat("tree"));
    assertThat(bash("ls outside")).isEqualTo("kept\n");
    files.remove("outside", true);
  }
}
