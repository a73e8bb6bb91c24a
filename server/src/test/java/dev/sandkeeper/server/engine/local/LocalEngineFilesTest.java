package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineFileException.Kind;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.FileEntry;
import dev.sandkeeper.server.engine.FileInfo;
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Random;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

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

  private static byte[] read(String path, long offset, long most) {
    ByteArrayOutputStream content = new ByteArrayOutputStream();
    files.read(
        path,
        offset,
        most,
        bytes -> {
          byte[] copy = new byte[bytes.remaining()];
          bytes.get(copy);
          content.writeBytes(copy);
        });
    return content.toByteArray();
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
  void megabytesComeBackAsTheyWere() {
    byte[] content = new byte[10_000_000];
    new Random(5).nextBytes(content);

    FileInfo info = write("deep/er/big.bin", content);

    assertThat(info.path()).isEqualTo("/home/user/deep/er/big.bin");
    assertThat(info.sizeBytes()).isEqualTo(content.length);
    assertThat(info.type()).isEqualTo(FileInfo.Type.FILE);
    assertThat(read("deep/er/big.bin", 0, MOST)).isEqualTo(content);
    files.remove("deep", true);
  }

  @Test
  void fileBelongsToTheUser() throws Exception {
    write("/tmp/owned.txt", "x");

    assertThat(bash("stat -c '%U %a' /tmp/owned.txt")).isEqualTo("user 644\n");
  }

  @Test
  void rangesAreRead() {
    write("range.txt", "0123456789");

    assertThat(new String(read("range.txt", 3, 4), StandardCharsets.UTF_8)).isEqualTo("3456");
    assertThat(read("range.txt", 10, 4)).isEmpty();
    assertThat(read("range.txt", 0, 0)).isEmpty();
  }

  @Test
  void replacingKeepsTheModeAndIsAtomic() throws Exception {
    bash("echo old > replaced.sh; chmod 750 replaced.sh");
    try (EngineFiles.FileWriter writer = files.write("replaced.sh", MOST)) {
      writer.append(ByteBuffer.wrap("new".getBytes(StandardCharsets.UTF_8)));
      assertThat(bash("cat replaced.sh")).isEqualTo("old\n");
      assertThat(writer.commit().mode()).isEqualTo(0750);
    }
    assertThat(bash("cat replaced.sh")).isEqualTo("new");
  }

  @Test
  void brokenUploadLeavesNothing() throws Exception {
    bash("mkdir broken");
    try (EngineFiles.FileWriter writer = files.write("broken/file", MOST)) {
      writer.append(ByteBuffer.allocate(500_000));
    }

    await().until(() -> bash("ls -A broken").isEmpty());
  }

  @Test
  void tooLargeIsRefusedAndLeavesNothing() throws Exception {
    bash("mkdir large");
    assertFault(
        Kind.TOO_LARGE,
        () -> {
          try (EngineFiles.FileWriter writer = files.write("large/file", 10)) {
            writer.append(ByteBuffer.allocate(11));
          }
        });

    await().until(() -> bash("ls -A large").isEmpty());
  }

  @Test
  void fullDiskIsSaidAndNothingOfItStays() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      assertFault(
          Kind.NO_SPACE,
          () -> {
            try (EngineFiles.FileWriter writer =
                other.sandbox().files().write("fill", 200_000_000)) {
              for (int i = 0; i < 150; i++) {
                writer.append(ByteBuffer.allocate(1_000_000));
              }
              writer.commit();
            }
          });
      await().until(() -> other.sandbox().files().list("/home/user", 1, 10).isEmpty());
      Recording fill =
          EngineFixture.run(
              other.sandbox(), EngineFixture.bash("head -c 200000000 /dev/zero > fill2"));
      assertThat(fill.stderr()).contains("No space left");
      assertThat(EngineFixture.run(other.sandbox(), EngineFixture.bash("echo on")).stdout())
          .isEqualTo("on\n");
    }
  }

  @Test
  void listIsSortedAndBounded() throws Exception {
    bash("mkdir listed; cd listed; touch b a; mkdir c; ln -s /nowhere d; mkfifo e");

    assertThat(files.list("listed", 1, 5))
        .extracting(entry -> entry.relativePath() + entry.file().type())
        .containsExactly("aFILE", "bFILE", "cDIRECTORY", "dSYMLINK", "eOTHER");
    assertFault(Kind.TOO_LARGE, () -> files.list("listed", 1, 4));
  }

  @Test
  void deepListIsInOrderAndStaysInside() throws Exception {
    bash(
        "mkdir -p tree/b/y tree/b/x/deep tree/closed; touch tree/a tree/b/x/deep/f tree/c;"
            + " ln -s / tree/b/link; chmod 0 tree/closed");

    assertThat(files.list("tree", 1, 100))
        .extracting(FileEntry::relativePath)
        .containsExactly("a", "b", "c", "closed");
    assertThat(files.list("tree", 3, 100))
        .extracting(FileEntry::relativePath)
        .containsExactly("a", "b", "b/link", "b/x", "b/x/deep", "b/y", "c", "closed");
    List<FileEntry> all = files.list("/home/user/tree", 64, 9);
    assertThat(all)
        .extracting(entry -> entry.file().path())
        .containsSequence("/home/user/tree/b/x/deep", "/home/user/tree/b/x/deep/f");
    assertThat(all).hasSize(9);
    assertFault(Kind.TOO_LARGE, () -> files.list("tree", 64, 8));
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
  void foldersAreMadeWithThoseAbove() throws Exception {
    bash("touch in-the-way; ln -s made link-to-made");

    FileInfo made = files.makeDirectory("made/a/./b/");

    assertThat(made.type()).isEqualTo(FileInfo.Type.DIRECTORY);
    assertThat(made.mode()).isEqualTo(0755);
    bash("touch made/a/b/kept; chmod 700 made/a/b");
    assertThat(files.makeDirectory("/home/user/made/a/b").mode()).isEqualTo(0700);
    assertThat(bash("ls made/a/b")).isEqualTo("kept\n");
    assertThat(files.makeDirectory("link-to-made/c").type()).isEqualTo(FileInfo.Type.DIRECTORY);
    assertFault(Kind.NOT_A_DIRECTORY, () -> files.makeDirectory("in-the-way"));
    assertFault(Kind.NOT_A_DIRECTORY, () -> files.makeDirectory("in-the-way/below"));
    assertFault(Kind.PERMISSION, () -> files.makeDirectory("/etc/mine"));
    assertFault(Kind.INVALID_PATH, () -> files.makeDirectory("x".repeat(300)));
    // More than Python can recurse.
    assertThat(files.makeDirectory("s" + "/s".repeat(1900)).path()).endsWith("/s/s");
  }

  @Test
  void movesReplaceOnlyWhenAsked() throws Exception {
    bash(
        "mkdir moves; cd moves; echo a > a; echo b > b; mkdir -p dir/sub empty full/x; ln -s a link");

    assertThat(files.move("moves/a", "moves/new/er/a", false).path())
        .isEqualTo("/home/user/moves/new/er/a");
    assertFault(Kind.EXISTS, () -> files.move("moves/new/er/a", "moves/b", false));
    assertFault(Kind.EXISTS, () -> files.move("moves/new/er/a", "moves/link", false));
    assertFault(Kind.EXISTS, () -> files.move("moves/dir", "moves/empty", false));
    files.move("moves/new/er/a", "moves/b", true);
    assertFault(Kind.NOT_EMPTY, () -> files.move("moves/dir", "moves/full", true));
    assertFault(Kind.IS_A_DIRECTORY, () -> files.move("moves/b", "moves/empty", true));
    assertFault(Kind.NOT_A_DIRECTORY, () -> files.move("moves/dir", "moves/b", true));
    assertFault(Kind.NOT_A_DIRECTORY, () -> files.move("moves/dir", "moves/b/below", true));
    files.move("moves/dir", "moves/empty/", true);
    assertThat(files.move("moves/link", "moves/link2", false).type())
        .isEqualTo(FileInfo.Type.SYMLINK);
    assertFault(Kind.NOT_FOUND, () -> files.move("moves/none", "moves/x/y", false));
    assertFault(Kind.PERMISSION, () -> files.move("moves/b", "/etc/b", false));
    assertFault(Kind.PERMISSION, () -> files.move("/etc/passwd", "moves/passwd", false));
    assertThat(bash("cd moves; find . | sort; cat b"))
        .isEqualTo(".\n./b\n./empty\n./empty/sub\n./full\n./full/x\n./link2\n./new\n./new/er\na\n");
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
  void faultsSayWhatIsWrong() throws Exception {
    bash("mkdir faults; touch faults/file; mkfifo faults/pipe");

    assertFault(Kind.NOT_FOUND, () -> files.stat("faults/none"));
    assertFault(Kind.NOT_FOUND, () -> read("faults/none", 0, 1));
    assertFault(Kind.NOT_A_DIRECTORY, () -> files.list("faults/file", 1, 1));
    assertFault(Kind.NOT_A_DIRECTORY, () -> write("faults/file/below", "x"));
    assertFault(Kind.IS_A_DIRECTORY, () -> read("faults", 0, 1));
    assertFault(Kind.IS_A_DIRECTORY, () -> write("faults", "x"));
    assertFault(Kind.NOT_EMPTY, () -> files.remove("faults", false));
    assertFault(Kind.PERMISSION, () -> write("/etc/passwd", "x"));
    assertFault(Kind.OTHER, () -> read("faults/pipe", 0, 1));
    files.remove("faults", true);
    assertFault(Kind.NOT_FOUND, () -> files.stat("faults"));
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

  @ParameterizedTest
  @ValueSource(strings = {"", "..", "../etc/passwd", "/tmp/../etc/passwd", "a/../b", "a\0b"})
  void pathsThatLeadElsewhereAreRefused(String path) {
    assertFault(Kind.INVALID_PATH, () -> files.stat(path));
    assertFault(Kind.INVALID_PATH, () -> files.write(path, 1));
  }

  @Test
  void veryLongPathIsRefused() {
    assertFault(Kind.INVALID_PATH, () -> files.stat("x".repeat(5000)));
    assertFault(Kind.INVALID_PATH, () -> files.stat("x".repeat(300)));
  }

  @Test
  void absolutePathsAndLinksStayInsideTheSandbox() throws Exception {
    bash("ln -s /etc/passwd link; ln -s / root-link");

    assertThat(new String(read("/etc/passwd", 0, 10_000), StandardCharsets.UTF_8))
        .contains("user:x:1000");
    assertThat(new String(read("link", 0, 10_000), StandardCharsets.UTF_8))
        .contains("sandbox agent");
    assertThat(files.list("root-link", 1, 100))
        .extracting(entry -> entry.file().path())
        .contains("/home/user/root-link/home");
    assertFault(Kind.PERMISSION, () -> files.list("/run/sandkeeper", 1, 10));
    files.remove("link", false);
    assertThat(bash("test -e /etc/passwd && echo there")).isEqualTo("there\n");
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

  @Test
  void negativeNumbersAreRefused() {
    assertThatThrownBy(() -> files.write("x", -1)).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> read("x", -1, 1)).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> files.list("x", 1, 0)).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> files.list("x", 0, 1)).isInstanceOf(IllegalArgumentException.class);
  }
}
