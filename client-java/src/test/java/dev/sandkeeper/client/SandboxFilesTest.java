package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.FileType;
import dev.sandkeeper.v1.ReadFileEnd;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SandboxFilesTest {
  private static final String SANDBOX = "a".repeat(20);

  @Test
  void uploadArrivesWholeAndNamedFirst() throws IOException {
    byte[] bytes = new byte[1_000_003];
    new Random(7).nextBytes(bytes);
    Store store = new Store();
    try (FakeServer server = new FakeServer(store);
        SandkeeperClient client = server.client()) {
      FileInfo file = client.files(SANDBOX).upload(bytes, "data/input.bin");

      assertThat(file.getSizeBytes()).isEqualTo(bytes.length);
      assertThat(store.path).isEqualTo("data/input.bin");
      assertThat(store.content.toByteArray()).isEqualTo(bytes);
    }
  }

  @Test
  void emptyFileIsWritten() {
    Store store = new Store();
    try (FakeServer server = new FakeServer(store);
        SandkeeperClient client = server.client()) {
      assertThat(client.files(SANDBOX).upload(new byte[0], "empty").getSizeBytes()).isZero();
      assertThat(store.path).isEqualTo("empty");
    }
  }

  /** The server takes the target and three chunks, then nothing until the test lets it. */
  @Test
  void uploadReadsNoFasterThanTheServerTakes() throws Exception {
    Reluctant reluctant = new Reluctant(4);
    CountingStream source = new CountingStream();
    try (FakeServer server = new FakeServer(reluctant);
        SandkeeperClient client = server.client()) {
      Thread uploader =
          new Thread(() -> {
            try {
              client.files(SANDBOX).upload(source, "endless");
            } catch (SandkeeperException | IOException e) {
              // The stream has no end; the test ends it by interrupting the thread.
              source.ended.countDown();
            }
          });
      uploader.start();
      assertThat(reluctant.taken.await(10, TimeUnit.SECONDS)).isTrue();
      awaitBlocked(uploader);

      assertThat(source.chunks).hasValueLessThan(10);

      uploader.interrupt();
      assertThat(source.ended.await(10, TimeUnit.SECONDS)).isTrue();
      uploader.join(10_000);
    }
  }

  @Test
  void brokenSourceCancelsTheUpload() throws InterruptedException {
    Store store = new Store();
    InputStream broken =
        new InputStream() {
          @Override
          public int read() throws IOException {
            throw new IOException("disk gone");
          }

          @Override
          public int read(byte[] target, int offset, int length) throws IOException {
            return read();
          }
        };
    try (FakeServer server = new FakeServer(store);
        SandkeeperClient client = server.client()) {
      assertThatThrownBy(() -> client.files(SANDBOX).upload(broken, "x"))
          .isInstanceOf(IOException.class)
          .hasMessage("disk gone");
      assertThat(store.broken.await(10, TimeUnit.SECONDS)).isTrue();
      assertThat(store.complete).isFalse();
    }
  }

  @Test
  void refusalInTheMiddleOfAnUploadIsToldWithItsReason() {
    FileServiceGrpc.FileServiceImplBase refusing =
        new FileServiceGrpc.FileServiceImplBase() {
          @Override
          public StreamObserver<WriteFileRequest> writeFile(
              StreamObserver<WriteFileResponse> answer) {
            return new Parts() {
              @Override
              public void onNext(WriteFileRequest part) {
                if (part.hasData()) {
                  answer.onError(
                      Refusals.of(Status.Code.RESOURCE_EXHAUSTED, "SIZE_LIMIT_EXCEEDED"));
                }
              }
            };
          }
        };
    try (FakeServer server = new FakeServer(refusing);
        SandkeeperClient client = server.client()) {
      assertThatThrownBy(() -> client.files(SANDBOX).upload(new CountingStream(), "x"))
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.reason()).isEqualTo("SIZE_LIMIT_EXCEEDED"));
    }
  }

  @Test
  void uploadThatArrivedAsOtherBytesIsAnError() {
    Store store = new Store();
    store.damage = 1;
    try (FakeServer server = new FakeServer(store);
        SandkeeperClient client = server.client()) {
      assertThatThrownBy(() -> client.files(SANDBOX).upload(new byte[10], "x"))
          .isInstanceOfSatisfying(
              SandkeeperException.class,
              e -> assertThat(e.code()).isEqualTo(Status.Code.DATA_LOSS));
    }
  }

  @Test
  void uploadTellsHowFarItIs(@TempDir Path folder) throws IOException {
    Path source = Files.write(folder.resolve("source"), new byte[600_000]);
    List<String> told = new ArrayList<>();
    try (FakeServer server = new FakeServer(new Store());
        SandkeeperClient client = server.client()) {
      client.files(SANDBOX).upload(source, "x", (bytes, total) -> told.add(bytes + " of " + total));
    }

    assertThat(told)
        .containsExactly(
            "262144 of OptionalLong[600000]",
            "524288 of OptionalLong[600000]",
            "600000 of OptionalLong[600000]");
  }

  @Test
  void downloadWritesTheFileAndTellsHowFarItIs(@TempDir Path folder) throws IOException {
    Path target = folder.resolve("copy.txt");
    List<String> told = new ArrayList<>();
    try (FakeServer server = new FakeServer(new Served("one two"));
        SandkeeperClient client = server.client()) {
      FileInfo file =
          client
              .files(SANDBOX)
              .download("some.txt", target, (bytes, total) -> told.add(bytes + " of " + total));

      assertThat(file.getPath()).isEqualTo("/home/user/some.txt");
      assertThat(target).hasContent("one two");
      assertThat(folder.toFile().list()).containsExactly("copy.txt");
      assertThat(told).containsExactly("4 of OptionalLong[7]", "7 of OptionalLong[7]");
      assertThat(client.files(SANDBOX).download("some.txt")).asString().isEqualTo("one two");
    }
  }

  @Test
  void downloadedFileHasTheRightsOfAnyNewFile(@TempDir Path folder) throws IOException {
    Path target = folder.resolve("copy.txt");
    Path own = Files.createFile(folder.resolve("own.txt"));
    try (FakeServer server = new FakeServer(new Served("one two"));
        SandkeeperClient client = server.client()) {
      client.files(SANDBOX).download("some.txt", target);

      assertThat(Files.getPosixFilePermissions(target))
          .isEqualTo(Files.getPosixFilePermissions(own));
    }
  }

  @Test
  void partsOfFilesAreRead() {
    try (FakeServer server = new FakeServer(new Served("one two"));
        SandkeeperClient client = server.client()) {
      SandboxFiles files = client.files(SANDBOX);
      assertThat(files.download("some.txt", 2, 3)).asString().isEqualTo("e t");
      assertThat(files.download("some.txt", 4, 100)).asString().isEqualTo("two");
      assertThat(files.download("some.txt", 100, 1)).isEmpty();
      assertThatIllegalArgumentException()
          .isThrownBy(() -> files.download("some.txt", 0, 0))
          .withMessage("length: 0 (expected: >= 1)");
    }
  }

  @Test
  void brokenDownloadLeavesTheFileOfBefore(@TempDir Path folder) throws IOException {
    Path target = folder.resolve("copy.txt");
    Files.writeString(target, "before");
    Served served = new Served("one two");
    served.end = Status.UNAVAILABLE;
    try (FakeServer server = new FakeServer(served);
        SandkeeperClient client = server.client()) {
      assertThatThrownBy(() -> client.files(SANDBOX).download("some.txt", target))
          .isInstanceOf(SandkeeperException.class);

      assertThat(target).hasContent("before");
      assertThat(folder.toFile().list()).containsExactly("copy.txt");
    }
  }

  @Test
  void fileThatShrankWhileItWasReadIsAnError() {
    Served served = new Served("one two");
    served.size = 8;
    try (FakeServer server = new FakeServer(served);
        SandkeeperClient client = server.client()) {
      assertThatThrownBy(() -> client.files(SANDBOX).download("some.txt"))
          .isInstanceOf(SandkeeperException.class)
          .hasMessageContaining("7 bytes came of 8");
    }
  }

  @Test
  void downloadIsCheckedAgainstWhatTheServerSent() {
    Served served = new Served("one two");
    try (FakeServer server = new FakeServer(served);
        SandkeeperClient client = server.client()) {
      served.claimed = "one two";
      assertThat(client.files(SANDBOX).download("some.txt")).asString().isEqualTo("one two");
      for (String other : List.of("one twO", "one two ")) {
        served.claimed = other;
        assertThatThrownBy(() -> client.files(SANDBOX).download("some.txt"))
            .isInstanceOfSatisfying(
                SandkeeperException.class,
                e -> assertThat(e.code()).isEqualTo(Status.Code.DATA_LOSS));
      }
    }
  }

  @Test
  void fileWithoutASizeOfItsOwnIsReadToItsEnd() {
    Served served = new Served("one two");
    served.size = 0;
    try (FakeServer server = new FakeServer(served);
        SandkeeperClient client = server.client()) {
      assertThat(client.files(SANDBOX).download("/proc/version")).asString().isEqualTo("one two");
    }
  }

  @Test
  void slowTargetHoldsTheServerBackAndAFailingOneEndsTheCall() throws InterruptedException {
    Endless endless = new Endless();
    AtomicInteger written = new AtomicInteger();
    OutputStream slow =
        new OutputStream() {
          @Override
          public void write(int value) throws IOException {
            assertThat(endless.sent).hasValueLessThan(written.get() + 16);
            if (written.incrementAndGet() == 100) {
              throw new IOException("disk full");
            }
          }
        };
    try (FakeServer server = new FakeServer(endless);
        SandkeeperClient client = server.client()) {
      assertThatThrownBy(() -> client.files(SANDBOX).download("/dev/zero", slow))
          .isInstanceOf(IOException.class)
          .hasMessage("disk full");
      assertThat(endless.cancelled.await(10, TimeUnit.SECONDS)).isTrue();
    }
  }

  private static void awaitBlocked(Thread thread) {
    while (thread.getState() == Thread.State.RUNNABLE) {
      Thread.onSpinWait();
    }
  }

  private static ReadFileResponse data(String text) {
    return ReadFileResponse.newBuilder().setData(ByteString.copyFromUtf8(text)).build();
  }

  /** Parts of an upload, of which a test minds some. */
  private abstract static class Parts implements StreamObserver<WriteFileRequest> {
    @Override
    public void onError(Throwable thrown) {}

    @Override
    public void onCompleted() {}
  }

  /** Takes one file. */
  private static final class Store extends FileServiceGrpc.FileServiceImplBase {
    private final ByteArrayOutputStream content = new ByteArrayOutputStream();
    private final CountDownLatch broken = new CountDownLatch(1);
    private volatile String path = "";
    private volatile boolean complete;

    /** Added to each byte of what it says it wrote. */
    private int damage;

    @Override
    public StreamObserver<WriteFileRequest> writeFile(StreamObserver<WriteFileResponse> answer) {
      return new StreamObserver<>() {
        @Override
        public void onNext(WriteFileRequest part) {
          if (part.hasTarget()) {
            path = part.getTarget().getPath();
          } else {
            content.writeBytes(part.getData().toByteArray());
          }
        }

        @Override
        public void onError(Throwable thrown) {
          broken.countDown();
        }

        @Override
        public void onCompleted() {
          complete = true;
          FileInfo file = FileInfo.newBuilder().setPath(path).setSizeBytes(content.size()).build();
          answer.onNext(WriteFileResponse.newBuilder().setFile(file).setSha256(sha256()).build());
          answer.onCompleted();
        }
      };
    }

    private ByteString sha256() {
      byte[] bytes = content.toByteArray();
      for (int i = 0; i < bytes.length; i++) {
        bytes[i] += (byte) damage;
      }
      try {
        return ByteString.copyFrom(MessageDigest.getInstance("SHA-256").digest(bytes));
      } catch (NoSuchAlgorithmException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  /** Takes some parts of an upload, then stops asking for more. */
  private static final class Reluctant extends FileServiceGrpc.FileServiceImplBase {
    private final int parts;
    private final CountDownLatch taken;

    Reluctant(int parts) {
      this.parts = parts;
      this.taken = new CountDownLatch(parts);
    }

    @Override
    public StreamObserver<WriteFileRequest> writeFile(StreamObserver<WriteFileResponse> answer) {
      ServerCallStreamObserver<WriteFileResponse> call =
          (ServerCallStreamObserver<WriteFileResponse>) answer;
      call.disableAutoRequest();
      call.request(parts);
      return new Parts() {
        @Override
        public void onNext(WriteFileRequest part) {
          taken.countDown();
        }
      };
    }
  }

  /** Has one file, and sends it in parts of four bytes. */
  private static final class Served extends FileServiceGrpc.FileServiceImplBase {
    private final String content;
    private long size;
    private Status end = Status.OK;

    /** What the server says that it sent; empty for nothing. */
    private String claimed = "";

    Served(String content) {
      this.content = content;
      this.size = content.length();
    }

    @Override
    public void readFile(ReadFileRequest request, StreamObserver<ReadFileResponse> answer) {
      FileInfo file =
          FileInfo.newBuilder()
              .setPath("/home/user/" + request.getPath())
              .setType(FileType.FILE_TYPE_FILE)
              .setSizeBytes(size)
              .build();
      answer.onNext(ReadFileResponse.newBuilder().setFile(file).build());
      int from = (int) Math.min(request.getOffset(), content.length());
      long length = request.getLength() == 0 ? Long.MAX_VALUE : request.getLength();
      int to = (int) Math.min(content.length() - from, length) + from;
      for (int at = from; at < to; at += 4) {
        answer.onNext(data(content.substring(at, Math.min(at + 4, to))));
      }
      if (!claimed.isEmpty()) {
        byte[] bytes = claimed.getBytes(StandardCharsets.UTF_8);
        answer.onNext(
            ReadFileResponse.newBuilder()
                .setEnd(
                    ReadFileEnd.newBuilder()
                        .setSentBytes(bytes.length)
                        .setSha256(ByteString.copyFrom(Hashes.sha256().digest(bytes))))
                .build());
      }
      if (end.isOk()) {
        answer.onCompleted();
      } else {
        answer.onError(end.asRuntimeException());
      }
    }
  }

  /** Sends single bytes for as long as the stream takes them. */
  private static final class Endless extends FileServiceGrpc.FileServiceImplBase {
    private final AtomicInteger sent = new AtomicInteger();
    private final CountDownLatch cancelled = new CountDownLatch(1);

    @Override
    public void readFile(ReadFileRequest request, StreamObserver<ReadFileResponse> answer) {
      ServerCallStreamObserver<ReadFileResponse> call =
          (ServerCallStreamObserver<ReadFileResponse>) answer;
      call.setOnCancelHandler(cancelled::countDown);
      call.setOnReadyHandler(() -> {
        while (call.isReady()) {
          call.onNext(
              sent.getAndIncrement() == 0
                  ? ReadFileResponse.newBuilder().setFile(FileInfo.getDefaultInstance()).build()
                  : data("x"));
        }
      });
    }
  }

  /** Has no end, and counts how often it was read. */
  private static final class CountingStream extends InputStream {
    private final AtomicInteger chunks = new AtomicInteger();
    private final CountDownLatch ended = new CountDownLatch(1);

    @Override
    public int read() {
      return 0;
    }

    @Override
    public int read(byte[] target, int offset, int length) {
      return length;
    }

    @Override
    public byte[] readNBytes(int length) {
      chunks.incrementAndGet();
      return new byte[length];
    }
  }
}
