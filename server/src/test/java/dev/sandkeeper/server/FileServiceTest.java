package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.FileType;
import dev.sandkeeper.v1.ListDirectoryRequest;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import dev.sandkeeper.v1.RemoveRequest;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.security.MessageDigest;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Files through a real channel: they arrive whole or not at all, and nothing leads out. */
class FileServiceTest {
  private static final int MAX_BYTES = 1 << 20;

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_FILES_MAX_UPLOAD_SIZE", "1 MiB",
              "SANDKEEPER_FILES_MAX_DOWNLOAD_SIZE", "1 MiB",
              "SANDKEEPER_FILES_MAX_ENTRIES", "10"));

  private final Caller caller = server.runner();
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = caller.create().getSandboxId();
  }

  @Test
  void whatWasWrittenIsReadWithItsHash() throws Exception {
    byte[] content = random(MAX_BYTES);

    WriteFileResponse written = write("data/report.bin", content);

    assertThat(written.getSha256().toByteArray())
        .isEqualTo(MessageDigest.getInstance("SHA-256").digest(content));
    assertThat(written.getFile().getPath()).isEqualTo("/home/user/data/report.bin");
    assertThat(written.getFile().getType()).isEqualTo(FileType.FILE_TYPE_FILE);
    assertThat(written.getFile().getSizeBytes()).isEqualTo(MAX_BYTES);
    assertThat(read(ReadFileRequest.newBuilder().setPath("/home/user/data/report.bin")))
        .isEqualTo(content);
    assertThat(Caller.stdout(caller.shell(sandbox, "sha256sum <data/report.bin")))
        .startsWith(java.util.HexFormat.of().formatHex(written.getSha256().toByteArray()));
  }

  @Test
  void anEmptyFileIsAFile() throws Exception {
    assertThat(write("empty", new byte[0]).getFile().getSizeBytes()).isZero();
    assertThat(read(ReadFileRequest.newBuilder().setPath("empty"))).isEmpty();
  }

  @Test
  void aRangeIsRead() throws Exception {
    byte[] content = random(5000);
    var _ = write("file", content);

    assertThat(read(ReadFileRequest.newBuilder().setPath("file").setOffset(100).setLength(50)))
        .isEqualTo(java.util.Arrays.copyOfRange(content, 100, 150));
    assertThat(read(ReadFileRequest.newBuilder().setPath("file").setOffset(4990).setLength(999)))
        .isEqualTo(java.util.Arrays.copyOfRange(content, 4990, 5000));
    assertThat(read(ReadFileRequest.newBuilder().setPath("file").setOffset(5000))).isEmpty();
    assertThat(read(ReadFileRequest.newBuilder().setPath("file").setOffset(Long.MAX_VALUE)))
        .isEmpty();
    Refusal.ofField(
        "offset", () -> read(ReadFileRequest.newBuilder().setPath("file").setOffset(-1)));
  }

  @Test
  void aByteTooManyLeavesWhatWasThere() throws Exception {
    var _ = write("file", "before".getBytes(java.nio.charset.StandardCharsets.UTF_8));

    Refusal refusal =
        Refusal.of(
            Status.Code.RESOURCE_EXHAUSTED,
            ErrorReason.SIZE_LIMIT_EXCEEDED,
            () -> write("file", random(MAX_BYTES + 1)));

    assertThat(refusal.info().getMetadataMap())
        .containsEntry("maxUploadBytes", Integer.toString(MAX_BYTES));
    assertThat(Caller.stdout(caller.shell(sandbox, "cat file; ls -A"))).isEqualTo("beforefile\n");
  }

  @Test
  void moreThanADownloadMayHaveIsReadInRanges() throws Exception {
    var _ = caller.shell(sandbox, "head -c 1500000 /dev/zero >big");

    Refusal.of(
        Status.Code.RESOURCE_EXHAUSTED,
        ErrorReason.SIZE_LIMIT_EXCEEDED,
        () -> read(ReadFileRequest.newBuilder().setPath("big")));

    assertThat(read(ReadFileRequest.newBuilder().setPath("big").setLength(1_000_000)))
        .hasSize(1_000_000);
    assertThat(read(ReadFileRequest.newBuilder().setPath("big").setOffset(1_000_000)))
        .hasSize(500_000);
  }

  @Test
  void aBrokenUploadLeavesNothing() {
    CompletableFuture<WriteFileResponse> answer = new CompletableFuture<>();
    ClientCallStreamObserver<WriteFileRequest> upload = upload(answer);
    upload.onNext(target("half"));
    upload.onNext(data(random(300_000)));
    // It is under way for sure once the sandbox has something of it.
    await()
        .until(() -> !Caller.stdout(caller.shell(sandbox, "find . -type f -size +100k")).isEmpty());

    upload.cancel("the client vanishes", null);

    await()
        .untilAsserted(
            () -> assertThat(Caller.stdout(caller.shell(sandbox, "find . -type f"))).isEmpty());
    assertThat(answer).isCompletedExceptionally();
  }

  @Test
  void anUploadBeginsWithItsTarget() {
    CompletableFuture<WriteFileResponse> answer = new CompletableFuture<>();
    upload(answer).onNext(data(new byte[1]));
    Refusal.ofField("target", () -> get(answer));

    CompletableFuture<WriteFileResponse> twice = new CompletableFuture<>();
    ClientCallStreamObserver<WriteFileRequest> upload = upload(twice);
    upload.onNext(target("a"));
    upload.onNext(target("b"));
    Refusal.ofField("target", () -> get(twice));

    CompletableFuture<WriteFileResponse> nothing = new CompletableFuture<>();
    upload(nothing).onCompleted();
    Refusal.ofField("target", () -> get(nothing));

    assertThat(Caller.stdout(caller.shell(sandbox, "ls -A"))).isEmpty();
  }

  @Test
  void listStatAndRemove() throws Exception {
    var _ = write("dir/b", new byte[3]);
    var _ = write("dir/a", new byte[1]);
    var _ = caller.shell(sandbox, "ln -s /etc/passwd dir/c; mkdir dir/d; chmod 600 dir/b");

    List<FileInfo> files = list("dir");

    assertThat(files)
        .extracting(FileInfo::getPath)
        .containsExactly(
            "/home/user/dir/a", "/home/user/dir/b", "/home/user/dir/c", "/home/user/dir/d");
    assertThat(files)
        .extracting(FileInfo::getType)
        .containsExactly(
            FileType.FILE_TYPE_FILE,
            FileType.FILE_TYPE_FILE,
            FileType.FILE_TYPE_SYMLINK,
            FileType.FILE_TYPE_DIRECTORY);
    assertThat(files.get(1).getMode()).isEqualTo(0600);
    assertThat(files.get(1).getSizeBytes()).isEqualTo(3);
    assertThat(stat("dir/c").getType()).isEqualTo(FileType.FILE_TYPE_SYMLINK);
    assertThat(stat("dir/b")).isEqualTo(files.get(1));

    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.FILE_REFUSED, () -> remove("dir", false));
    remove("dir/a", false);
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.FILE_NOT_FOUND, () -> stat("dir/a"));
    remove("dir", true);
    assertThat(list(".")).isEmpty();
    assertThat(Caller.stdout(caller.shell(sandbox, "head -c 4 /etc/passwd"))).isEqualTo("root");
  }

  @Test
  void aDirectoryWithTooManyEntriesIsNotListed() {
    var _ = caller.shell(sandbox, "touch $(seq 11)");

    Refusal.of(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.SIZE_LIMIT_EXCEEDED, () -> list("."));
  }

  @ParameterizedTest
  @ValueSource(strings = {"..", "../x", "a/../b", "/home/user/../../etc/passwd", "a\u0000b", ""})
  void aPathThatLeadsAstrayIsAField(String path) {
    Refusal.ofField(
        path.contains("\u0000") || path.isEmpty() ? "target.path" : "path",
        () -> write(path, new byte[1]));
    Refusal.ofField("path", () -> read(ReadFileRequest.newBuilder().setPath(path)));
    Refusal.ofField("path", () -> stat(path));
    Refusal.ofField("path", () -> list(path));
    Refusal.ofField("path", () -> remove(path, true));
    assertThat(Caller.stdout(caller.shell(sandbox, "ls -A"))).isEmpty();
  }

  @Test
  void anAbsolutePathIsTheSandboxsOwn() throws Exception {
    assertThat(
            new String(
                read(ReadFileRequest.newBuilder().setPath("/etc/passwd")),
                java.nio.charset.StandardCharsets.UTF_8))
        .isEqualTo(Caller.stdout(caller.shell(sandbox, "cat /etc/passwd")));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.FILE_REFUSED,
        () -> write("/etc/passwd", new byte[1]));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.FILE_REFUSED, () -> remove("/etc", true));
    assertThat(write("/tmp/mine", new byte[1]).getFile().getPath()).isEqualTo("/tmp/mine");
  }

  @Test
  void aLinkLeadsNowhereButInsideTheSandbox() throws Exception {
    var _ =
        caller.shell(
            sandbox, "ln -s /etc/hostname out; ln -s / root; ln -s loop loop; ln -s /etc/x gone");

    // The sandbox's own, whatever this machine has there.
    assertThat(Caller.stdout(caller.shell(sandbox, "cat root/etc/passwd")))
        .isEqualTo(
            new String(
                read(ReadFileRequest.newBuilder().setPath("root/etc/passwd")),
                java.nio.charset.StandardCharsets.UTF_8));
    Refusal.ofField("path", () -> read(ReadFileRequest.newBuilder().setPath("loop")));
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.FILE_NOT_FOUND,
        () -> read(ReadFileRequest.newBuilder().setPath("gone")));
    Refusal outside = Refusal.of(() -> write("root/etc/new", new byte[1]));
    assertThat(outside.code()).isEqualTo(Status.Code.FAILED_PRECONDITION);
    remove("out", false);
    assertThat(stat("/etc").getType()).isEqualTo(FileType.FILE_TYPE_DIRECTORY);
  }

  @Test
  void whatSaysNothingOfItsSizeIsReadAllTheSame() throws Exception {
    var _ = write("file", new byte[5]);
    var _ = caller.shell(sandbox, "ln -s file link");

    assertThat(read(ReadFileRequest.newBuilder().setPath("link"))).hasSize(5);
    assertThat(read(ReadFileRequest.newBuilder().setPath("link").setOffset(1).setLength(2)))
        .hasSize(2);
    assertThat(read(ReadFileRequest.newBuilder().setPath("/proc/version"))).isNotEmpty();
  }

  @Test
  void aDirectoryIsNoFileAndAFileNoDirectory() throws Exception {
    var _ = write("file", new byte[1]);

    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.FILE_REFUSED,
        () -> read(ReadFileRequest.newBuilder().setPath(".")));
    Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.FILE_REFUSED, () -> list("file"));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.FILE_REFUSED,
        () -> write("file/below", new byte[1]));
  }

  @Test
  void anEndedSandboxHasNoFiles() {
    var _ = caller.terminate(sandbox);

    Refusal.of(Status.Code.FAILED_PRECONDITION, ErrorReason.SANDBOX_NOT_RUNNING, () -> list("."));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.SANDBOX_NOT_RUNNING,
        () -> write("a", new byte[1]));
  }

  @Test
  void strangersAndReadersDoNotWrite() {
    Refusal.of(
        Status.Code.NOT_FOUND,
        ErrorReason.SANDBOX_NOT_FOUND,
        () -> write(server.stranger(), "a", new byte[1]));
    Refusal.of(
        Status.Code.PERMISSION_DENIED,
        ErrorReason.SCOPE_MISSING,
        () -> write(server.reader(), "a", new byte[1]));
  }

  private WriteFileResponse write(String path, byte[] content) {
    return write(caller, path, content);
  }

  private WriteFileResponse write(Caller by, String path, byte[] content) {
    CompletableFuture<WriteFileResponse> answer = new CompletableFuture<>();
    ClientCallStreamObserver<WriteFileRequest> upload = upload(by, answer);
    upload.onNext(target(path));
    for (int at = 0; at < content.length; at += 100_000) {
      upload.onNext(
          data(java.util.Arrays.copyOfRange(content, at, Math.min(content.length, at + 100_000))));
    }
    upload.onCompleted();
    return get(answer);
  }

  private ClientCallStreamObserver<WriteFileRequest> upload(
      CompletableFuture<WriteFileResponse> answer) {
    return upload(caller, answer);
  }

  private static ClientCallStreamObserver<WriteFileRequest> upload(
      Caller by, CompletableFuture<WriteFileResponse> answer) {
    return (ClientCallStreamObserver<WriteFileRequest>)
        FileServiceGrpc.newStub(by.channel())
            .writeFile(
                new ClientResponseObserver<WriteFileRequest, WriteFileResponse>() {
                  @Override
                  public void beforeStart(ClientCallStreamObserver<WriteFileRequest> request) {}

                  @Override
                  public void onNext(WriteFileResponse response) {
                    answer.complete(response);
                  }

                  @Override
                  public void onError(Throwable cause) {
                    answer.completeExceptionally(cause);
                  }

                  @Override
                  public void onCompleted() {}
                });
  }

  private WriteFileRequest target(String path) {
    return WriteFileRequest.newBuilder()
        .setTarget(WriteFileTarget.newBuilder().setSandboxId(sandbox).setPath(path))
        .build();
  }

  private static WriteFileRequest data(byte[] bytes) {
    return WriteFileRequest.newBuilder().setData(ByteString.copyFrom(bytes)).build();
  }

  private static WriteFileResponse get(CompletableFuture<WriteFileResponse> answer) {
    try {
      return answer.get(30, TimeUnit.SECONDS);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof StatusRuntimeException refused) {
        throw refused;
      }
      throw new AssertionError(e);
    } catch (Exception e) {
      throw new AssertionError(e);
    }
  }

  private byte[] read(ReadFileRequest.Builder request) {
    Iterator<ReadFileResponse> parts =
        caller.files().readFile(request.setSandboxId(sandbox).build());
    assertThat(parts.next().hasFile()).isTrue();
    ByteString bytes = ByteString.EMPTY;
    while (parts.hasNext()) {
      bytes = bytes.concat(parts.next().getData());
    }
    return bytes.toByteArray();
  }

  private List<FileInfo> list(String path) {
    return caller
        .files()
        .listDirectory(
            ListDirectoryRequest.newBuilder().setSandboxId(sandbox).setPath(path).build())
        .getFilesList();
  }

  private FileInfo stat(String path) {
    return caller
        .files()
        .stat(StatRequest.newBuilder().setSandboxId(sandbox).setPath(path).build())
        .getFile();
  }

  private void remove(String path, boolean recursive) {
    var _ =
        caller
            .files()
            .remove(
                RemoveRequest.newBuilder()
                    .setSandboxId(sandbox)
                    .setPath(path)
                    .setRecursive(recursive)
                    .build());
  }

  private static byte[] random(int size) {
    byte[] bytes = new byte[size];
    new Random(size).nextBytes(bytes);
    return bytes;
  }
}
