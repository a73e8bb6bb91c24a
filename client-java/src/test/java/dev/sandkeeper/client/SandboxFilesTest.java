package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.rpc.ErrorInfo;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
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
      WriteFileResponse answer = client.files(SANDBOX).upload(bytes, "data/input.bin");

      assertThat(answer.getFile().getSizeBytes()).isEqualTo(bytes.length);
      assertThat(store.path).isEqualTo("data/input.bin");
      assertThat(store.content.toByteArray()).isEqualTo(bytes);
    }
  }

  @Test
  void emptyFileIsWritten() {
    Store store = new Store();
    try (FakeServer server = new FakeServer(store);
        SandkeeperClient client = server.client()) {
      assertThat(client.files(SANDBOX).upload(new byte[0], "empty").getFile().getSizeBytes())
          .isZero();
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
                  answer.onError(tooLarge());
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
  void downloadWritesTheFile(@TempDir Path folder) throws IOException {
    Path target = folder.resolve("copy.txt");
    try (FakeServer server = new FakeServer(new Chunks(false));
        SandkeeperClient client = server.client()) {
      FileInfo file = client.files(SANDBOX).download("some.txt", target);

      assertThat(file.getPath()).isEqualTo("/home/user/some.txt");
      assertThat(target).hasContent("one two");
      assertThat(client.files(SANDBOX).download("some.txt")).asString().isEqualTo("one two");
    }
  }

  @Test
  void brokenDownloadLeavesTheFileOfBefore(@TempDir Path folder) throws IOException {
    Path target = folder.resolve("copy.txt");
    Files.writeString(target, "before");
    try (FakeServer server = new FakeServer(new Chunks(true));
        SandkeeperClient client = server.client()) {
      assertThatThrownBy(() -> client.files(SANDBOX).download("some.txt", target))
          .isInstanceOf(SandkeeperException.class);

      assertThat(target).hasContent("before");
      assertThat(folder.toFile().list()).containsExactly("copy.txt");
    }
  }

  private static StatusRuntimeException tooLarge() {
    return StatusProto.toStatusRuntimeException(
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
            .addDetails(Any.pack(ErrorInfo.newBuilder().setReason("SIZE_LIMIT_EXCEEDED").build()))
            .build());
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
          answer.onNext(WriteFileResponse.newBuilder().setFile(file).build());
          answer.onCompleted();
        }
      };
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

  /** Sends a file in two chunks, then ends or breaks. */
  private static final class Chunks extends FileServiceGrpc.FileServiceImplBase {
    private final boolean breaks;

    Chunks(boolean breaks) {
      this.breaks = breaks;
    }

    @Override
    public void readFile(ReadFileRequest request, StreamObserver<ReadFileResponse> answer) {
      FileInfo file = FileInfo.newBuilder().setPath("/home/user/" + request.getPath()).build();
      answer.onNext(ReadFileResponse.newBuilder().setFile(file).build());
      answer.onNext(data("one "));
      if (breaks) {
        answer.onError(Status.UNAVAILABLE.asRuntimeException());
        return;
      }
      answer.onNext(data("two"));
      answer.onCompleted();
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
