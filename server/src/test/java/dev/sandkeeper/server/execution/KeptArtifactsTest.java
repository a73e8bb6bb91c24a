package dev.sandkeeper.server.execution;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.SandkeeperException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is kept of an execution's files, over servers that are killed at any moment. */
class KeptArtifactsTest {
  private static final ArtifactSelection SELECTION =
      new ArtifactSelection("a\nb", List.of("**", "x y"));

  @TempDir private Path folder;

  @Test
  void thereIsNothingWhereNothingWasToBeKept() throws Exception {
    assertThat(KeptArtifacts.load(folder)).isEmpty();
  }

  @Test
  void whatWasNotCollectedIsCollectedByTheNextServer() throws Exception {
    var _ = KeptArtifacts.begin(folder, SELECTION);
    Files.writeString(folder.resolve("artifacts.tar"), "the beginning of an arch");

    KeptArtifacts next = KeptArtifacts.load(folder).orElseThrow();
    assertThat(next.isPending()).isTrue();
    assertThat(next.selection()).isEqualTo(SELECTION);
    next.collect((selection, chunk) -> {
      assertThat(selection).isEqualTo(SELECTION);
      chunk.accept(ByteBuffer.wrap("whole".getBytes(StandardCharsets.UTF_8)));
      return 3;
    });

    KeptArtifacts third = KeptArtifacts.load(folder).orElseThrow();
    assertThat(third.isPending()).isFalse();
    AtomicInteger count = new AtomicInteger();
    assertThat(bytes(third, count)).isEqualTo("whole");
    assertThat(count.get()).isEqualTo(3);
  }

  @Test
  void aRefusalIsKeptAndNothingOfTheArchive() throws Exception {
    KeptArtifacts kept = KeptArtifacts.begin(folder, SELECTION);
    kept.collect((selection, chunk) -> {
      chunk.accept(ByteBuffer.wrap(new byte[1000]));
      throw SandkeeperException.of(ErrorReason.SIZE_LIMIT_EXCEEDED, "Too much.");
    });

    for (KeptArtifacts any : List.of(kept, KeptArtifacts.load(folder).orElseThrow())) {
      assertThatThrownBy(() -> bytes(any, new AtomicInteger()))
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              refusal -> {
                assertThat(refusal.reason()).isEqualTo(ErrorReason.SIZE_LIMIT_EXCEEDED);
                assertThat(refusal).hasMessage("Too much.");
              });
    }
    assertThat(folder.resolve("artifacts.tar")).doesNotExist();
  }

  @Test
  void whoWaitsForWhatIsNeverCollectedIsTold() throws Exception {
    KeptArtifacts kept = KeptArtifacts.begin(folder, SELECTION);
    CompletableFuture<Void> reader =
        CompletableFuture.runAsync(() -> {
          try {
            var _ = bytes(kept, new AtomicInteger());
          } catch (InterruptedException e) {
            throw new AssertionError(e);
          }
        });

    kept.lose();

    assertThatThrownBy(() -> reader.get(1, TimeUnit.MINUTES))
        .cause()
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            refusal -> assertThat(refusal.reason()).isEqualTo(ErrorReason.ARTIFACTS_NOT_KEPT));
  }

  @Test
  void whatCannotBeWrittenLeavesNothing() throws Exception {
    KeptArtifacts kept = KeptArtifacts.begin(folder, SELECTION);
    kept.collect((_, chunk) -> {
      chunk.accept(ByteBuffer.wrap(new byte[1000]));
      throw new UncheckedIOException(new IOException("no space left"));
    });

    assertThat(kept.bytes()).isZero();
    assertThat(folder.resolve("artifacts.tar")).doesNotExist();
  }

  @Test
  void theyGoWithTheJournal() throws Exception {
    KeptArtifacts kept = KeptArtifacts.begin(folder, SELECTION);
    kept.collect((_, _) -> 0);
    new Journal(folder, new Retention(1 << 20, Duration.ZERO)).delete();

    assertThat(folder).doesNotExist();
    assertThatThrownBy(() -> bytes(kept, new AtomicInteger()))
        .isInstanceOfSatisfying(
            SandkeeperException.class,
            refusal -> assertThat(refusal.reason()).isEqualTo(ErrorReason.ARTIFACTS_NOT_KEPT));
  }

  private static String bytes(KeptArtifacts kept, AtomicInteger count) throws InterruptedException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    count.set(
        kept.read(chunk -> {
          byte[] part = new byte[chunk.remaining()];
          chunk.get(part);
          bytes.writeBytes(part);
        }));
    return bytes.toString(StandardCharsets.UTF_8);
  }
}
