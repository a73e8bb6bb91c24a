package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.engine.EngineFileException;
import dev.sandkeeper.server.engine.EngineFileException.Kind;
import dev.sandkeeper.server.engine.EngineFiles;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.FileChange;
import dev.sandkeeper.server.engine.Recording;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Watches in a real sandbox. */
class LocalEngineWatchTest {
  private static final int WATCHED_FOLDERS = 1000;

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

  private static String bash(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.bash(source)).stdout();
  }

  private static void assertFault(Kind kind, ThrowingCallable call) {
    assertThatExceptionOfType(EngineFileException.class)
        .isThrownBy(call)
        .satisfies(fault -> assertThat(fault.kind()).isEqualTo(kind));
  }

  @Test
  void aWatchTellsWhatHappens() throws Exception {
    bash("mkdir watched elsewhere; touch elsewhere/in watched/$'new\\nline'");
    try (Watch watch = new Watch("watched", false)) {
      bash(
          "cd watched; echo x > a; chmod 600 a; mv a b; mv ../elsewhere/in in; mv in ../elsewhere;"
              + " rm b; mkdir sub; touch sub/unseen; mv $'new\\nline' $'\\xff'; chmod 700 .");
      assertThat(watch.until(change -> change.path().endsWith("watched")))
          .containsExactly(
              "CREATE a",
              "WRITE a",
              "CHMOD a",
              "RENAME b from a",
              "CREATE in",
              "REMOVE in",
              "REMOVE b",
              "CREATE sub",
              "RENAME \uEFFF from new\nline",
              "CHMOD .");
    }
  }

  @Test
  void aRecursiveWatchTellsWhatHappensBelowToo() throws Exception {
    bash("mkdir -p tree/old/deep outside/full; touch outside/full/x");
    try (Watch watch = new Watch("tree", true)) {
      bash("cd tree; touch old/deep/a; mv old/deep/a b; mv old new; rm b; chmod 700 new/deep");
      assertThat(watch.until(change -> change.path().endsWith("/deep")))
          .containsExactly(
              "CREATE old/deep/a",
              "CHMOD old/deep/a",
              "RENAME b from old/deep/a",
              "RENAME new from old",
              "REMOVE b",
              "CHMOD new/deep");
      bash("cd tree; echo x > new/deep/c; mv ../outside/full .");
      assertThat(watch.until(change -> change.path().endsWith("/full/x")))
          .containsExactly("CREATE new/deep/c", "WRITE new/deep/c", "CREATE full", "CREATE full/x");
      bash("cd tree; echo y > full/x; mv full ../outside");
      assertThat(watch.until(change -> change.type() == FileChange.Type.REMOVE))
          .endsWith("WRITE full/x", "REMOVE full");
      bash("touch outside/full/unseen; cd tree; rm -r new; touch last");
      assertThat(watch.until(change -> change.path().endsWith("/last")))
          .doesNotContain("CREATE full/unseen")
          .contains("REMOVE new/deep/c", "REMOVE new/deep", "REMOVE new");
    }
  }

  @Test
  void noFolderThatIsMadeInAHurryIsMissed() throws Exception {
    bash("mkdir hurry");
    try (Watch watch = new Watch("hurry", true)) {
      bash(
          "cd hurry; for i in $(seq 200); do mkdir -p a$i/b/c; mv a$i z$i; mkdir a$i; : > z$i/b/c/f; done;"
              + " touch last");
      assertThat(watch.until(change -> change.path().endsWith("/last")))
          .containsAll(
              IntStream.rangeClosed(1, 200).mapToObj(i -> "CREATE z" + i + "/b/c/f").toList());
    }
  }

  @Test
  void foldersThatAreExchangedAreToldAsLost() throws Exception {
    bash("mkdir -p swapped/a swapped/b");
    try (Watch watch = new Watch("swapped", true)) {
      bash(
          "python3 -c \"import ctypes; print(ctypes.CDLL(None).renameat2("
              + "-100, b'swapped/a', -100, b'swapped/b', 2))\"");
      watch.until(change -> change.type() == FileChange.Type.OVERFLOW);
      bash("touch swapped/a/in-a swapped/b/in-b swapped/last");

      assertThat(watch.until(change -> change.path().endsWith("/last")))
          .contains("CREATE a/in-a", "CREATE b/in-b");
    }
  }

  @Test
  void aRecursiveWatchHasABound() throws Exception {
    bash("mkdir -p many/1/2/3 many/4");

    assertFault(Kind.TOO_MANY_WATCHES, () -> files.watch("many", true, 4, _ -> {}, _ -> {}));
    CompletableFuture<Void> begun = new CompletableFuture<>();
    CompletableFuture<Void> watch =
        CompletableFuture.runAsync(
            () -> files.watch("many", true, 5, _ -> begun.complete(null), _ -> {}));
    begun.get(1, TimeUnit.MINUTES);
    bash("mkdir many/5");

    assertThatThrownBy(() -> watch.get(1, TimeUnit.MINUTES))
        .cause()
        .isInstanceOfSatisfying(
            EngineFileException.class,
            fault -> assertThat(fault.kind()).isEqualTo(Kind.TOO_MANY_WATCHES));
  }

  private static void watchOnce(String path) {
    files.watch(path, false, WATCHED_FOLDERS, _ -> {}, _ -> {});
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "rm -r going",
        "mv going gone",
        // The kernel tells of neither.
        "mkdir above; mv going above; mv above elsewhere2",
        "cd going; rmdir /home/user/going; until [ -e /home/user/over ]; do sleep 0.1; done"
      })
  void aWatchEndsWithItsFolder(String end) throws Exception {
    bash("rm -rf going gone above elsewhere2 over; mkdir going");
    try (Watch watch = new Watch("going", false)) {
      CompletableFuture<Recording> ending =
          CompletableFuture.supplyAsync(() -> {
            try {
              return EngineFixture.run(sandbox, EngineFixture.bash(end));
            } catch (Exception e) {
              throw new CompletionException(e);
            }
          });
      watch.awaitEnd();
      bash("touch over");
      assertThat(ending.get(1, TimeUnit.MINUTES).stderr()).isEmpty();
    }
  }

  @Test
  void whatAWatchLosesIsTold() throws Exception {
    bash("mkdir flooded");
    try (Watch watch = new Watch("flooded", false)) {
      watch.hold();
      EngineFixture.run(
          sandbox,
          EngineFixture.python(
              """
              import os
              for _ in range(20000):
                  os.close(os.open('/home/user/flooded/f', os.O_CREAT))
                  os.unlink('/home/user/flooded/f')
              """));
      watch.release();

      assertThat(watch.until(change -> change.type() == FileChange.Type.OVERFLOW))
          .hasSizeLessThan(30_000)
          .endsWith("OVERFLOW .");
      // It goes on.
      bash("touch flooded/last");
      watch.until(change -> change.path().endsWith("/last"));
    }
  }

  @Test
  void onlyFoldersAreWatched() throws Exception {
    bash("touch not-watched; mkdir -m 0 hidden");

    assertFault(Kind.NOT_A_DIRECTORY, () -> watchOnce("not-watched"));
    assertFault(Kind.NOT_FOUND, () -> watchOnce("nothing-there"));
    assertFault(Kind.PERMISSION, () -> watchOnce("hidden"));
  }

  @Test
  void aWatchEndsWithTheSandbox() throws Exception {
    CompletableFuture<Void> begun = new CompletableFuture<>();
    CompletableFuture<Void> over;
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      over =
          CompletableFuture.runAsync(() ->
              other.sandbox().files().watch(".", false, 1, _ -> begun.complete(null), _ -> {}));
      begun.get(1, TimeUnit.MINUTES);
    }
    assertThatThrownBy(() -> over.get(1, TimeUnit.MINUTES))
        .hasCauseInstanceOf(EngineException.class);
  }

  /** A watch on a thread of its own; closing it hangs up. */
  private static final class Watch implements AutoCloseable {
    private final String path;
    private final boolean recursive;
    private final BlockingQueue<FileChange> changes = new LinkedBlockingQueue<>();
    private final Semaphore turn = new Semaphore(1);
    private final CountDownLatch begun = new CountDownLatch(1);
    private final CompletableFuture<Void> end = new CompletableFuture<>();
    private final Thread thread;

    Watch(String path, boolean recursive) throws InterruptedException {
      this.path = path;
      this.recursive = recursive;
      thread = Thread.ofVirtual().start(this::run);
      assertThat(begun.await(1, TimeUnit.MINUTES)).isTrue();
    }

    private void run() {
      try {
        files.watch(
            path,
            recursive,
            WATCHED_FOLDERS,
            folder -> {
              assertThat(folder.path()).isEqualTo("/home/user/" + path);
              begun.countDown();
            },
            change -> {
              turn.acquireUninterruptibly();
              turn.release();
              changes.add(change);
            });
        end.complete(null);
      } catch (RuntimeException e) {
        end.completeExceptionally(e);
      }
    }

    /** Takes nothing more for now. */
    void hold() throws InterruptedException {
      turn.acquire();
    }

    void release() {
      turn.release();
    }

    /** Returns all changes up to one. */
    List<String> until(Predicate<FileChange> last) throws InterruptedException {
      List<String> told = new ArrayList<>();
      FileChange change;
      do {
        change = changes.poll(1, TimeUnit.MINUTES);
        assertThat(change).as("after %s", told).isNotNull();
        told.add(
            change.type()
                + " "
                + name(change.path())
                + (change.fromPath().isEmpty() ? "" : " from " + name(change.fromPath())));
      } while (!last.test(change));
      return told;
    }

    private String name(String of) {
      String folder = "/home/user/" + path;
      return of.equals(folder) ? "." : of.substring(folder.length() + 1);
    }

    void awaitEnd() throws Exception {
      end.get(1, TimeUnit.MINUTES);
    }

    @Override
    public void close() {
      thread.interrupt();
    }
  }
}
