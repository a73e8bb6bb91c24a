package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.tuple;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.FileChange;
import dev.sandkeeper.v1.FileChangeType;
import dev.sandkeeper.v1.FileInfo;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.FileType;
import dev.sandkeeper.v1.GetUploadRequest;
import dev.sandkeeper.v1.ListDirectoryRequest;
import dev.sandkeeper.v1.MakeDirectoryRequest;
import dev.sandkeeper.v1.MoveRequest;
import dev.sandkeeper.v1.ReadFileRequest;
import dev.sandkeeper.v1.ReadFileResponse;
import dev.sandkeeper.v1.RemoveRequest;
import dev.sandkeeper.v1.StatRequest;
import dev.sandkeeper.v1.WatchDirectoryRequest;
import dev.sandkeeper.v1.WatchDirectoryResponse;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
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
              "SANDKEEPER_FILES_MAX_ENTRIES", "10",
              "SANDKEEPER_FILES_MAX_WATCHES", "2",
              "SANDKEEPER_FILES_MAX_PARTIAL_UPLOADS", "2"));

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

    assertThat(written.getSha256().toByteArray()).isEqualTo(sha256(content));
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
        .isEqualTo(Arrays.copyOfRange(content, 100, 150));
    assertThat(read(ReadFileRequest.newBuilder().setPath("file").setOffset(4990).setLength(999)))
        .isEqualTo(Arrays.copyOfRange(content, 4990, 5000));
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
  void aBrokenUploadThatHasAnIdIsContinued() throws Exception {
    byte[] content = random(900_000);
    String id = newId();
    assertThat(received(id)).isZero();

    breakOff(named("half", id), Arrays.copyOf(content, 500_000));
    assertThat(Caller.stdout(caller.shell(sandbox, "ls -A"))).isEmpty();
    int from = (int) received(id) - 1000; // what is behind the offset is sent again
    WriteFileResponse written =
        write(
            named("half", id)
                .setOffset(from)
                .setSizeBytes(content.length)
                .setSha256(ByteString.copyFrom(sha256(content))),
            Arrays.copyOfRange(content, from, content.length));

    assertThat(written.getSha256().toByteArray()).isEqualTo(sha256(content));
    assertThat(written.getFile().getMode()).isEqualTo(0644);
    assertThat(read(ReadFileRequest.newBuilder().setPath("half"))).isEqualTo(content);
    assertThat(received(id)).isZero();
  }

  @Test
  void anUploadThatIsNotWhatWasPromisedLeavesNothing() {
    byte[] content = random(1000);
    ByteString other = ByteString.copyFrom(sha256(random(999)));

    Refusal.ofField("target.sha256", () -> write(named("a", newId()).setSha256(other), content));
    Refusal.ofField("target.sha256", () -> write(named("a", "").setSha256(other), content));
    Refusal.ofField(
        "target.size_bytes", () -> write(named("a", newId()).setSizeBytes(999), content));
    Refusal.ofField("target.size_bytes", () -> write(named("a", newId()).setSizeBytes(0), content));
    Refusal.ofField(
        "target.sha256", () -> write(named("a", newId()).setSha256(other.substring(1)), content));
    Refusal.ofField("target.upload_id", () -> write(named("a", "../a"), content));
    Refusal.ofField("target.offset", () -> write(named("a", newId()).setOffset(-1), content));
    Refusal.ofField("target.offset", () -> write(named("a", "").setOffset(1), content));
    Refusal.ofField("target.offset", () -> write(named("a", newId()).setOffset(1), content));

    await()
        .untilAsserted(() ->
            assertThat(
                    Caller.stdout(caller.shell(sandbox, "find . /tmp/.sandkeeper-uploads -type f")))
                .isEmpty());
  }

  @Test
  void brokenUploadsAreBoundedAndOneCallWritesToEach() throws Exception {
    String first = newId();
    String second = newId();
    breakOff(named("a", first), random(200_000));
    CompletableFuture<WriteFileResponse> open = new CompletableFuture<>();
    ClientCallStreamObserver<WriteFileRequest> upload = upload(open);
    upload.onNext(WriteFileRequest.newBuilder().setTarget(named("b", second)).build());
    upload.onNext(data(random(1000)));
    await().until(() -> received(second) == 1000);

    Refusal.of(
        Status.Code.ABORTED,
        ErrorReason.CONCURRENT_CHANGE,
        () -> write(named("b", second).setOffset(1000), new byte[1]));
    Refusal.of(
        Status.Code.RESOURCE_EXHAUSTED,
        ErrorReason.TOO_MANY_REQUESTS,
        () -> write(named("c", newId()), new byte[1]));
    upload.onCompleted();
    assertThat(get(open).getFile().getSizeBytes()).isEqualTo(1000);
    // Old ones make room.
    breakOff(named("b", second), random(1000));
    var _ = caller.shell(sandbox, "touch -d '2 hours ago' /tmp/.sandkeeper-uploads/*");
    assertThat(write(named("c", newId()), new byte[1]).getFile().getSizeBytes()).isEqualTo(1);
    assertThat(received(first)).isZero();
  }

  /** Sends bytes, and vanishes once they have come. */
  private void breakOff(WriteFileTarget.Builder target, byte[] content) {
    CompletableFuture<WriteFileResponse> answer = new CompletableFuture<>();
    ClientCallStreamObserver<WriteFileRequest> upload = upload(answer);
    upload.onNext(WriteFileRequest.newBuilder().setTarget(target).build());
    upload.onNext(data(content));
    await().until(() -> received(target.getUploadId()) == content.length);
    upload.cancel("the client vanishes", null);
    // A probe would change it, so its worker is waited for: it holds the file open.
    await()
        .until(() ->
            Caller.stdout(
                    caller.shell(
                        sandbox,
                        "flock -n /tmp/.sandkeeper-uploads/" + target.getUploadId() + " echo free"))
                .equals("free\n"));
  }

  private WriteFileTarget.Builder named(String path, String uploadId) {
    return WriteFileTarget.newBuilder().setSandboxId(sandbox).setPath(path).setUploadId(uploadId);
  }

  private WriteFileResponse write(WriteFileTarget.Builder target, byte[] content) {
    CompletableFuture<WriteFileResponse> answer = new CompletableFuture<>();
    ClientCallStreamObserver<WriteFileRequest> upload = upload(answer);
    upload.onNext(WriteFileRequest.newBuilder().setTarget(target).build());
    upload.onNext(data(content));
    upload.onCompleted();
    return get(answer);
  }

  private static String newId() {
    return UUID.randomUUID().toString();
  }

  private long received(String uploadId) {
    return caller
        .files()
        .getUpload(
            GetUploadRequest.newBuilder().setSandboxId(sandbox).setUploadId(uploadId).build())
        .getReceivedBytes();
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
    assertThat(stat("dir/b").toBuilder().setRelativePath("b").build()).isEqualTo(files.get(1));

    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.FILE_REFUSED, () -> remove("dir", false));
    remove("dir/a", false);
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.FILE_NOT_FOUND, () -> stat("dir/a"));
    remove("dir", true);
    assertThat(list(".")).isEmpty();
    assertThat(Caller.stdout(caller.shell(sandbox, "head -c 4 /etc/passwd"))).isEqualTo("root");
  }

  @Test
  void aDirectoryIsListedAsDeepAsAsked() {
    var _ = caller.shell(sandbox, "mkdir -p a/b/c/d; touch a/b/f x; ln -s / a/b/c/out");

    assertThat(list(".")).extracting(FileInfo::getRelativePath).containsExactly("a", "x");
    assertThat(list(".", 3))
        .extracting(FileInfo::getRelativePath)
        .containsExactly("a", "a/b", "a/b/c", "a/b/f", "x");
    assertThat(list("a/b", 64))
        .extracting(FileInfo::getRelativePath)
        .containsExactly("c", "c/d", "c/out", "f");
    assertThat(list("a/b", 2).getFirst().getPath()).isEqualTo("/home/user/a/b/c");
    assertThat(stat("x").getRelativePath()).isEmpty();
    Refusal.ofField("depth", () -> list(".", -1));
    Refusal.ofField("depth", () -> list(".", 65));
  }

  @Test
  void tooManyEntriesInAllAreNotListed() {
    var _ = caller.shell(sandbox, "mkdir a b; touch a/$(seq -s ' a/' 4) b/$(seq -s ' b/' 5)");

    assertThat(list(".")).hasSize(2);
    Refusal.of(Status.Code.RESOURCE_EXHAUSTED, ErrorReason.SIZE_LIMIT_EXCEEDED, () -> list(".", 2));
  }

  @Test
  void directoriesAreMadeAndFilesMoved() {
    assertThat(makeDirectory("a/b").getType()).isEqualTo(FileType.FILE_TYPE_DIRECTORY);
    assertThat(makeDirectory("a/b").getPath()).isEqualTo("/home/user/a/b");
    var _ = write("file", new byte[3]);
    var _ = write("a/b/other", new byte[4]);

    FileInfo moved = move("file", "a/new/file", false);

    assertThat(moved.getPath()).isEqualTo("/home/user/a/new/file");
    assertThat(moved.getSizeBytes()).isEqualTo(3);
    Refusal exists =
        Refusal.of(
            Status.Code.ALREADY_EXISTS,
            ErrorReason.ALREADY_EXISTS,
            () -> move("a/new/file", "a/b/other", false));
    assertThat(exists.info().getMetadataMap())
        .containsEntry("path", "a/new/file")
        .containsEntry("toPath", "a/b/other");
    assertThat(move("a/new/file", "a/b/other", true).getSizeBytes()).isEqualTo(3);
    assertThat(Caller.stdout(caller.shell(sandbox, "find . | sort")))
        .isEqualTo(".\n./a\n./a/b\n./a/b/other\n./a/new\n");
  }

  @Test
  void aMoveThatCannotBeIsRefused() {
    var _ = caller.shell(sandbox, "mkdir -p dir/sub full/x; touch file");

    Refusal.ofField("to_path", () -> move("file", "file", true));
    Refusal.ofField("to_path", () -> move("dir", "dir/sub/dir", true));
    Refusal.ofField("to_path", () -> move("file", "../file", true));
    Refusal.ofField("to_path", () -> move("file", "", true));
    Refusal.ofField("path", () -> move("a/../file", "b", true));
    Refusal.of(Status.Code.NOT_FOUND, ErrorReason.FILE_NOT_FOUND, () -> move("none", "b", true));
    Refusal full =
        Refusal.of(
            Status.Code.FAILED_PRECONDITION,
            ErrorReason.FILE_REFUSED,
            () -> move("dir", "full", true));
    assertThat(full.info().getMetadataMap()).containsEntry("fault", "NOT_EMPTY");
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.FILE_REFUSED,
        () -> move("file", "/dev/shm/file", true));
    Refusal.of(
        Status.Code.FAILED_PRECONDITION, ErrorReason.FILE_REFUSED, () -> makeDirectory("file"));
    assertThat(Caller.stdout(caller.shell(sandbox, "find . | sort")))
        .isEqualTo(".\n./dir\n./dir/sub\n./file\n./full\n./full/x\n");
  }

  @Test
  void aWatchTellsUntilItsDirectoryIsGone() throws Exception {
    var _ = makeDirectory("dir");
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      Recorder<WatchDirectoryResponse> watch = watch(context, "dir");

      var _ = caller.shell(sandbox, "echo x >dir/a; mv dir/a dir/b; rm -r dir");

      watch.awaitSuccess();
      assertThat(watch.responses().getFirst().getDirectory().getPath()).isEqualTo("/home/user/dir");
      assertThat(watch.responses().stream().skip(1).map(WatchDirectoryResponse::getChange))
          .extracting(FileChange::getType, FileChange::getPath, FileChange::getFromPath)
          .containsExactly(
              tuple(FileChangeType.FILE_CHANGE_TYPE_CREATE, "/home/user/dir/a", ""),
              tuple(FileChangeType.FILE_CHANGE_TYPE_WRITE, "/home/user/dir/a", ""),
              tuple(FileChangeType.FILE_CHANGE_TYPE_RENAME, "/home/user/dir/b", "/home/user/dir/a"),
              tuple(FileChangeType.FILE_CHANGE_TYPE_REMOVE, "/home/user/dir/b", ""));
    }
  }

  @Test
  void aRecursiveWatchTellsWhatHappensBelow() throws Exception {
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      var _ = caller.shell(sandbox, "mkdir -p top/sub");
      Recorder<WatchDirectoryResponse> watch =
          watch(context, request -> request.setPath("top").setRecursive(true));

      var _ = caller.shell(sandbox, "touch top/sub/file; rm -r top");

      watch.awaitSuccess();
      assertThat(watch.responses().stream().map(part -> part.getChange().getPath()))
          .contains("/home/user/top/sub/file");
    }
  }

  @Test
  void aWatchThatIsGivenUpMakesRoomForAnother() throws Exception {
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      var _ = watch(context, ".");
      var _ = watch(context, "/tmp");

      Recorder<WatchDirectoryResponse> third = watch(context, ".");

      assertThat(third.code()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
      assertThat(third.reason()).isEqualTo(ErrorReason.TOO_MANY_REQUESTS.name());
    }
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      await().until(() -> !watch(context, ".").isOver());
    }
  }

  @Test
  void aWatchEndsWithItsSandbox() throws Exception {
    try (Context.CancellableContext context = Context.current().withCancellation()) {
      Recorder<WatchDirectoryResponse> watch = watch(context, ".");

      var _ = caller.terminate(sandbox);

      assertThat(watch.code()).isEqualTo(Status.Code.FAILED_PRECONDITION);
      assertThat(watch.reason()).isEqualTo(ErrorReason.SANDBOX_NOT_RUNNING.name());
    }
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
    Refusal.ofField("path", () -> makeDirectory(path));
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
      upload.onNext(data(Arrays.copyOfRange(content, at, Math.min(content.length, at + 100_000))));
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

  /** Reads, and checks what every download says at its end. */
  private byte[] read(ReadFileRequest.Builder request) {
    Iterator<ReadFileResponse> parts =
        caller.files().readFile(request.setSandboxId(sandbox).build());
    assertThat(parts.next().hasFile()).isTrue();
    ByteString bytes = ByteString.EMPTY;
    ReadFileResponse part = parts.next();
    for (; part.hasData(); part = parts.next()) {
      bytes = bytes.concat(part.getData());
    }
    assertThat(part.getEnd().getSentBytes()).isEqualTo(bytes.size());
    assertThat(part.getEnd().getSha256().toByteArray()).isEqualTo(sha256(bytes.toByteArray()));
    assertThat(parts.hasNext()).isFalse();
    return bytes.toByteArray();
  }

  private List<FileInfo> list(String path) {
    return list(path, 0);
  }

  private List<FileInfo> list(String path, int depth) {
    return caller
        .files()
        .listDirectory(
            ListDirectoryRequest.newBuilder()
                .setSandboxId(sandbox)
                .setPath(path)
                .setDepth(depth)
                .build())
        .getFilesList();
  }

  private FileInfo makeDirectory(String path) {
    return caller
        .files()
        .makeDirectory(
            MakeDirectoryRequest.newBuilder().setSandboxId(sandbox).setPath(path).build())
        .getFile();
  }

  private FileInfo move(String path, String toPath, boolean replace) {
    return caller
        .files()
        .move(
            MoveRequest.newBuilder()
                .setSandboxId(sandbox)
                .setPath(path)
                .setToPath(toPath)
                .setReplace(replace)
                .build())
        .getFile();
  }

  /** Begins to watch; the watch is in place once this returns. */
  private Recorder<WatchDirectoryResponse> watch(Context.CancellableContext context, String path) {
    return watch(context, request -> request.setPath(path));
  }

  private Recorder<WatchDirectoryResponse> watch(
      Context.CancellableContext context, UnaryOperator<WatchDirectoryRequest.Builder> asked) {
    Recorder<WatchDirectoryResponse> watch = new Recorder<>();
    context.run(() ->
        FileServiceGrpc.newStub(caller.channel())
            .watchDirectory(
                asked.apply(WatchDirectoryRequest.newBuilder().setSandboxId(sandbox)).build(),
                watch));
    await().until(() -> !watch.responses().isEmpty() || watch.isOver());
    return watch;
  }

  private static byte[] sha256(byte[] bytes) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(bytes);
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e);
    }
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
