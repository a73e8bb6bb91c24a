package dev.sandkeeper.server.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.engine.EngineFileException.Kind;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Files of a sandbox. */
interface FileContract extends EngineUnderTest {

  long MOST = 32 * 1024 * 1024;

  @Test
  default void megabytesComeBackAsTheyWere() {
    byte[] content = new byte[10_000_000];
    new Random(5).nextBytes(content);

    FileInfo info = write("deep/er/big.bin", content);

    assertThat(info.path()).isEqualTo("/home/user/deep/er/big.bin");
    assertThat(info.sizeBytes()).isEqualTo(content.length);
    assertThat(info.type()).isEqualTo(FileInfo.Type.FILE);
    assertThat(read("deep/er/big.bin", 0, MOST)).isEqualTo(content);
    shared().files().remove("deep", true);
  }

  @Test
  default void fileBelongsToTheUser() throws Exception {
    write("/tmp/owned.txt", "x");

    assertThat(shell("find /tmp/owned.txt -printf '%u %m\\n'")).isEqualTo("user 644\n");
  }

  @Test
  default void rangesAreRead() {
    write("range.txt", "0123456789");

    assertThat(new String(read("range.txt", 3, 4), StandardCharsets.UTF_8)).isEqualTo("3456");
    assertThat(read("range.txt", 10, 4)).isEmpty();
    assertThat(read("range.txt", 0, 0)).isEmpty();
  }

  @Test
  default void replacingKeepsTheModeAndIsAtomic() throws Exception {
    shell("echo old > replaced.sh; chmod 750 replaced.sh");
    try (EngineFiles.FileWriter writer = shared().files().write("replaced.sh", MOST)) {
      writer.append(ByteBuffer.wrap("new".getBytes(StandardCharsets.UTF_8)));
      assertThat(shell("cat replaced.sh")).isEqualTo("old\n");
      assertThat(writer.commit().mode()).isEqualTo(0750);
    }
    assertThat(shell("cat replaced.sh")).isEqualTo("new");
  }

  @Test
  default void brokenUploadLeavesNothing() throws Exception {
    shell("mkdir broken");
    try (EngineFiles.FileWriter writer = shared().files().write("broken/file", MOST)) {
      writer.append(ByteBuffer.allocate(500_000));
    }

    await().until(() -> shell("find broken -mindepth 1").isEmpty());
  }

  @Test
  default void tooLargeIsRefusedAndLeavesNothing() throws Exception {
    shell("mkdir large");
    assertFault(
        Kind.TOO_LARGE,
        () -> {
          try (EngineFiles.FileWriter writer = shared().files().write("large/file", 10)) {
            writer.append(ByteBuffer.allocate(11));
          }
        });

    await().until(() -> shell("find large -mindepth 1").isEmpty());
  }

  @Test
  default void fullDiskIsSaidAndNothingOfItStays() throws Exception {
    EngineSandbox other = create();
    unless(Difference.DISK_OF_ITS_OWN_SIZE, () -> assertFault(Kind.NO_SPACE, () -> fill(other)));
    if (has(Difference.DISK_OF_ITS_OWN_SIZE)) {
      return;
    }
    await().until(() -> other.files().list("/home/user", 1, 10).isEmpty());
    Recording fill = Requests.run(other, Requests.bash("head -c 200000000 /dev/zero > fill2"));
    assertThat(fill.stderr()).contains("No space left");
    assertThat(Requests.run(other, Requests.bash("echo on")).stdout()).isEqualTo("on\n");
  }

  private static void fill(EngineSandbox sandbox) {
    try (EngineFiles.FileWriter writer = sandbox.files().write("fill", 200_000_000)) {
      for (int i = 0; i < 150; i++) {
        writer.append(ByteBuffer.allocate(1_000_000));
      }
      writer.commit();
    }
  }

  @Test
  default void listIsSortedAndBounded() throws Exception {
    shell("mkdir listed; cd listed; touch b a; mkdir c; ln -s /nowhere d; mkfifo e");

    assertThat(shared().files().list("listed", 1, 5))
        .extracting(entry -> entry.relativePath() + entry.file().type())
        .containsExactly("aFILE", "bFILE", "cDIRECTORY", "dSYMLINK", "eOTHER");
    assertFault(Kind.TOO_LARGE, () -> shared().files().list("listed", 1, 4));
  }

  @Test
  default void deepListIsInOrderAndStaysInside() throws Exception {
    shell(
        "mkdir -p tree/b/y tree/b/x/deep tree/closed; touch tree/a tree/b/x/deep/f tree/c;"
            + " ln -s / tree/b/link; chmod 0 tree/closed");

    assertThat(shared().files().list("tree", 1, 100))
        .extracting(FileEntry::relativePath)
        .containsExactly("a", "b", "c", "closed");
    assertThat(shared().files().list("tree", 3, 100))
        .extracting(FileEntry::relativePath)
        .containsExactly("a", "b", "b/link", "b/x", "b/x/deep", "b/y", "c", "closed");
    List<FileEntry> all = shared().files().list("/home/user/tree", 64, 9);
    assertThat(all)
        .extracting(entry -> entry.file().path())
        .containsSequence("/home/user/tree/b/x/deep", "/home/user/tree/b/x/deep/f");
    assertThat(all).hasSize(9);
    assertFault(Kind.TOO_LARGE, () -> shared().files().list("tree", 64, 8));
  }

  @Test
  default void foldersAreMadeWithThoseAbove() throws Exception {
    shell("touch in-the-way; ln -s made link-to-made");

    FileInfo made = shared().files().makeDirectory("made/a/./b/");

    assertThat(made.type()).isEqualTo(FileInfo.Type.DIRECTORY);
    assertThat(made.mode()).isEqualTo(0755);
    shell("touch made/a/b/kept; chmod 700 made/a/b");
    assertThat(shared().files().makeDirectory("/home/user/made/a/b").mode()).isEqualTo(0700);
    assertThat(shell("cd made/a/b; echo *")).isEqualTo("kept\n");
    assertThat(shared().files().makeDirectory("link-to-made/c").type())
        .isEqualTo(FileInfo.Type.DIRECTORY);
    assertFault(Kind.NOT_A_DIRECTORY, () -> shared().files().makeDirectory("in-the-way"));
    assertFault(Kind.NOT_A_DIRECTORY, () -> shared().files().makeDirectory("in-the-way/below"));
    assertFault(Kind.PERMISSION, () -> shared().files().makeDirectory("/etc/mine"));
    assertFault(Kind.INVALID_PATH, () -> shared().files().makeDirectory("x".repeat(300)));
    // More than Python can recurse.
    assertThat(shared().files().makeDirectory("s" + "/s".repeat(1900)).path()).endsWith("/s/s");
  }

  @Test
  default void movesReplaceOnlyWhenAsked() throws Exception {
    shell(
        "mkdir moves; cd moves; echo a > a; echo b > b; mkdir -p dir/sub empty full/x; ln -s a link");

    assertThat(shared().files().move("moves/a", "moves/new/er/a", false).path())
        .isEqualTo("/home/user/moves/new/er/a");
    assertFault(Kind.EXISTS, () -> shared().files().move("moves/new/er/a", "moves/b", false));
    assertFault(Kind.EXISTS, () -> shared().files().move("moves/new/er/a", "moves/link", false));
    assertFault(Kind.EXISTS, () -> shared().files().move("moves/dir", "moves/empty", false));
    shared().files().move("moves/new/er/a", "moves/b", true);
    assertFault(Kind.NOT_EMPTY, () -> shared().files().move("moves/dir", "moves/full", true));
    assertFault(Kind.IS_A_DIRECTORY, () -> shared().files().move("moves/b", "moves/empty", true));
    assertFault(Kind.NOT_A_DIRECTORY, () -> shared().files().move("moves/dir", "moves/b", true));
    assertFault(
        Kind.NOT_A_DIRECTORY, () -> shared().files().move("moves/dir", "moves/b/below", true));
    shared().files().move("moves/dir", "moves/empty/", true);
    assertThat(shared().files().move("moves/link", "moves/link2", false).type())
        .isEqualTo(FileInfo.Type.SYMLINK);
    assertFault(Kind.NOT_FOUND, () -> shared().files().move("moves/none", "moves/x/y", false));
    unless(
        Difference.SEVERAL_FILE_SYSTEMS,
        () ->
            assertFault(Kind.PERMISSION, () -> shared().files().move("moves/b", "/etc/b", false)));
    unless(
        Difference.SEVERAL_FILE_SYSTEMS,
        () ->
            assertFault(
                Kind.PERMISSION,
                () -> shared().files().move("/etc/passwd", "moves/passwd", false)));
    assertThat(shell("cd moves; find . | sort; cat b"))
        .isEqualTo(".\n./b\n./empty\n./empty/sub\n./full\n./full/x\n./link2\n./new\n./new/er\na\n");
  }

  @Test
  default void faultsSayWhatIsWrong() throws Exception {
    shell("mkdir faults; touch faults/file; mkfifo faults/pipe");

    assertFault(Kind.NOT_FOUND, () -> shared().files().stat("faults/none"));
    assertFault(Kind.NOT_FOUND, () -> read("faults/none", 0, 1));
    assertFault(Kind.NOT_A_DIRECTORY, () -> shared().files().list("faults/file", 1, 1));
    assertFault(Kind.NOT_A_DIRECTORY, () -> write("faults/file/below", "x"));
    assertFault(Kind.IS_A_DIRECTORY, () -> read("faults", 0, 1));
    assertFault(Kind.IS_A_DIRECTORY, () -> write("faults", "x"));
    assertFault(Kind.NOT_EMPTY, () -> shared().files().remove("faults", false));
    assertFault(Kind.PERMISSION, () -> write("/etc/passwd", "x"));
    assertFault(Kind.OTHER, () -> read("faults/pipe", 0, 1));
    shared().files().remove("faults", true);
    assertFault(Kind.NOT_FOUND, () -> shared().files().stat("faults"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "..", "../etc/passwd", "/tmp/../etc/passwd", "a/../b", "a\0b"})
  default void pathsThatLeadElsewhereAreRefused(String path) {
    assertFault(Kind.INVALID_PATH, () -> shared().files().stat(path));
    assertFault(Kind.INVALID_PATH, () -> shared().files().write(path, 1));
  }

  @Test
  default void absolutePathsAndLinksStayInsideTheSandbox() throws Exception {
    shell("ln -s /etc/passwd link; ln -s / root-link");

    assertThat(new String(read("/etc/passwd", 0, 10_000), StandardCharsets.UTF_8))
        .contains("user:x:1000");
    assertThat(new String(read("link", 0, 10_000), StandardCharsets.UTF_8)).contains("user:x:1000");
    assertThat(shared().files().list("root-link", 1, 100))
        .extracting(entry -> entry.file().path())
        .contains("/home/user/root-link/home");
    assertFault(Kind.PERMISSION, () -> shared().files().list("/run/sandkeeper", 1, 10));
    shared().files().remove("link", false);
    assertThat(shell("test -e /etc/passwd && echo there")).isEqualTo("there\n");
  }

  @Test
  default void aWatchTellsWhatHappens() throws Exception {
    bash("mkdir watched");
    BlockingQueue<String> changes = new LinkedBlockingQueue<>();
    CountDownLatch begun = new CountDownLatch(1);
    Thread watch =
        Thread.ofVirtual()
            .start(() ->
                shared()
                    .files()
                    .watch(
                        "watched",
                        false,
                        10,
                        _ -> begun.countDown(),
                        change -> changes.add(change.type() + " " + change.path())));
    assertThat(begun.await(1, TimeUnit.MINUTES)).isTrue();

    bash("cd watched; echo x > a; mv a b; rm b");

    String above = "/home/user/watched/";
    for (String expected :
        List.of(
            "CREATE " + above + "a",
            "WRITE " + above + "a",
            "RENAME " + above + "b",
            "REMOVE " + above + "b")) {
      assertThat(changes.poll(1, TimeUnit.MINUTES)).isEqualTo(expected);
    }
    watch.interrupt();
    watch.join();
  }

  @Test
  default void onlyFoldersAreWatched() throws Exception {
    bash("touch not-watched");

    assertFault(
        Kind.NOT_A_DIRECTORY,
        () -> shared().files().watch("not-watched", false, 10, _ -> {}, _ -> {}));
  }

  private FileInfo write(String path, byte[] content) {
    try (EngineFiles.FileWriter writer = shared().files().write(path, MOST)) {
      writer.append(ByteBuffer.wrap(content));
      return writer.commit();
    }
  }

  private FileInfo write(String path, String content) {
    return write(path, content.getBytes(StandardCharsets.UTF_8));
  }

  private byte[] read(String path, long offset, long most) {
    return Requests.read(shared().files(), path, offset, most);
  }

  private String shell(String source) throws Exception {
    return bash(source).stdout();
  }

  private static void assertFault(Kind kind, ThrowingCallable call) {
    assertThatExceptionOfType(EngineFileException.class)
        .isThrownBy(call)
        .satisfies(fault -> assertThat(fault.kind()).isEqualTo(kind));
  }
}
