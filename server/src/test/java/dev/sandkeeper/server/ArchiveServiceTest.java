package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.v1.ArchiveEnd;
import dev.sandkeeper.v1.CollectArtifactsRequest;
import dev.sandkeeper.v1.CollectArtifactsResponse;
import dev.sandkeeper.v1.FileServiceGrpc;
import dev.sandkeeper.v1.FileType;
import dev.sandkeeper.v1.WriteFileRequest;
import dev.sandkeeper.v1.WriteFileResponse;
import dev.sandkeeper.v1.WriteFileTarget;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.security.MessageDigest;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Many files in one stream, through a real channel; compared by the sandbox's own tar and diff. */
class ArchiveServiceTest {
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
  void whatIsCollectedIsUnpackedAsItWas() throws Exception {
    shell(
        "mkdir -p from/a/b; cd from; echo 1 >one; printf '\\0\\377' >a/two; chmod 750 a/two;"
            + " touch -d 2001-02-03 one; ln -s ../one a/link; touch a/b/empty;"
            + " touch $'bad\\xff name\\n' \"$(printf 'x%.0s' {1..200})\"");

    Collected collected = collect("from");
    WriteFileResponse unpacked = unpack("to", collected.bytes());

    assertThat(collected.end().getFileCount()).isEqualTo(6);
    assertThat(collected.end().getSentBytes()).isEqualTo(collected.bytes().size());
    assertThat(collected.end().getSha256().toByteArray())
        .isEqualTo(MessageDigest.getInstance("SHA-256").digest(collected.bytes().toByteArray()));
    assertThat(unpacked.getFile().getPath()).isEqualTo("/home/user/to");
    assertThat(unpacked.getFile().getType()).isEqualTo(FileType.FILE_TYPE_DIRECTORY);
    assertThat(unpacked.getSha256()).isEqualTo(collected.end().getSha256());
    assertThat(shell("diff -r from to && stat -c '%a %Y %F' to/one to/a/two; readlink to/a/link"))
        .isEqualTo(shell("stat -c '%a %Y %F' from/one from/a/two; echo ../one"));
    assertThat(shell("find to -type f -printf . -o -type l -printf l")).hasSize(6);
  }

  @Test
  void otherTarsAreUnderstoodAndUnderstand() {
    shell("mkdir -p from/d; echo 1 >from/f; ln from/f from/hard; ln -s f from/soft");
    for (String format : List.of("ustar", "gnu", "pax", "v7")) {
      shell("rm -rf to; tar cf t.tar --format=" + format + " -C from .");
      var _ = unpack("to", read("t.tar"));
      assertThat(shell("diff -r --no-dereference from to && stat -c %h to/hard")).isEqualTo("2\n");
    }
    var _ = unpack("again", collect("from").bytes());
    write("t.tar", collect("from").bytes(), false);
    assertThat(shell("tar tf t.tar")).isEqualTo("f\nhard\nsoft\n");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "**           | a.png b.txt d/c.png d/e/f.png",
        "*            | a.png b.txt",
        "*.png        | a.png",
        "**/*.png     | a.png d/c.png d/e/f.png",
        "d/**         | d/c.png d/e/f.png",
        "d/*          | d/c.png",
        "d/?.png      | d/c.png",
        "./b.txt      | b.txt",
        "[ab].png     |",
        "nothing      |",
      })
  void aPatternSaysWhich(String pattern, String names) {
    shell("mkdir -p from/d/e; cd from; touch a.png b.txt d/c.png d/e/f.png");
    write("t.tar", collect("from", pattern).bytes(), false);
    assertThat(shell("tar tf t.tar").strip().replace('\n', ' '))
        .isEqualTo(names == null ? "" : names);
  }

  @Test
  void severalPatternsAddUp() {
    shell("mkdir from; cd from; touch a b c");
    assertThat(collect("from", "a", "c", "a*").end().getFileCount()).isEqualTo(2);
  }

  @Test
  void whatIsThereIsReplacedAndNothingElseTouched() {
    shell("mkdir -p from to/d; echo new >from/f; echo old >to/f; echo kept >to/d/g");
    var _ = unpack("to", collect("from").bytes());
    assertThat(shell("cat to/f to/d/g")).isEqualTo("new\nkept\n");
  }

  @Test
  void aDirectoryIsNotReplacedByAFile() {
    shell("mkdir -p from to/f; echo new >from/f");
    Refusal.of(
        Status.Code.FAILED_PRECONDITION,
        ErrorReason.FILE_REFUSED,
        () -> unpack("to", collect("from").bytes()));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "entry('../out')",
        "entry('a/../../out')",
        "entry('/tmp/out')",
        "entry('good'); entry('fifo', type=t.FIFOTYPE)",
        "entry('good'); entry('device', type=t.CHRTYPE)",
        "entry('hard', type=t.LNKTYPE, linkname='/etc/passwd')",
        "entry('hard', type=t.LNKTYPE, linkname='../../../etc/passwd')",
        "entry('good'); out.seek(0, 2); out.truncate(700)",
        "out.write(b'no archive at all')",
        "out.write(__import__('gzip').compress(bytes(10240)))",
        "pass",
      })
  void whatIsNoGoodArchiveLeavesNothing(String made) {
    Caller.finished(
        caller.python(
            sandbox,
            """
            import io, tarfile as t
            out = open('/home/user/bad.tar', 'wb')
            def entry(name, **fields):
                info = t.TarInfo(name)
                info.size = 0 if fields else 300
                for field in fields: setattr(info, field, fields[field])
                out.write(info.tobuf()); out.write(bytes(0 if fields else 512))
            %s
            out.close()
            """
                .formatted(made)));
    String said = Refusal.ofField("data", () -> unpack("to", read("bad.tar")));
    assertThat(said).contains("expected: a tar archive");
    assertThat(shell("ls -A to 2>&1; ls out /tmp/out 2>&1 | grep -c 'No such'")).isEqualTo("2\n");
  }

  @Test
  void aLinkInTheArchiveLeadsNowhere() {
    shell("mkdir -p a b/link elsewhere; ln -s ../elsewhere a/link; echo 1 >b/link/file");
    shell("tar cf t.tar -C a link; tar rf t.tar -C b link/file");
    assertThat(Refusal.ofField("data", () -> unpack("to", read("t.tar")))).contains("link/file");
    assertThat(shell("ls elsewhere")).isEmpty();
  }

  @Test
  void moreThanMayBeIsRefused() {
    shell("mkdir many; touch many/{1..11}; mkdir large; truncate -s 600K large/a large/b");
    for (String folder : List.of("many", "large")) {
      Refusal.of(
          Status.Code.RESOURCE_EXHAUSTED, ErrorReason.SIZE_LIMIT_EXCEEDED, () -> collect(folder));
    }
    shell("tar cf many.tar many; tar --sparse -cf large.tar large");
    for (String archive : List.of("many.tar", "large.tar")) {
      ByteString bytes = read(archive);
      Refusal.of(
          Status.Code.RESOURCE_EXHAUSTED,
          ErrorReason.SIZE_LIMIT_EXCEEDED,
          () -> unpack("to", bytes));
    }
    assertThat(shell("ls -A to")).isEmpty();
  }

  @Test
  void anArchiveIsHeldToItsPromises() {
    shell("mkdir from; touch from/f");
    ByteString archive = collect("from").bytes();
    WriteFileTarget.Builder target = target("to").setUnpack(true);
    assertThat(
            Refusal.ofField(
                "target.size_bytes", () -> write(target.clone().setSizeBytes(1), archive)))
        .contains("expected");
    assertThat(
            Refusal.ofField(
                "target.upload_id",
                () -> write(target.clone().setUploadId(UUID.randomUUID().toString()), archive)))
        .contains("expected: absent with unpack");
    assertThat(shell("ls to 2>&1")).contains("No such file");
  }

  @Test
  void linksAndClosedDirectoriesAreNotEntered() {
    shell(
        "mkdir -p from/closed from/open other; touch from/open/f from/closed/f other/f;"
            + " chmod 0 from/closed; ln -s ../other from/link; mkfifo from/pipe");
    write("t.tar", collect("from").bytes(), false);
    assertThat(shell("tar tf t.tar")).isEqualTo("link\nopen/f\n");
  }

  private record Collected(ByteString bytes, ArchiveEnd end) {}

  private Collected collect(String path, String... patterns) {
    Iterator<CollectArtifactsResponse> parts =
        caller
            .files()
            .collectArtifacts(
                CollectArtifactsRequest.newBuilder()
                    .setSandboxId(sandbox)
                    .setPath(path)
                    .addAllPatterns(List.of(patterns))
                    .build());
    ByteString bytes = ByteString.EMPTY;
    CollectArtifactsResponse part = parts.next();
    for (; part.hasData(); part = parts.next()) {
      bytes = bytes.concat(part.getData());
    }
    assertThat(parts.hasNext()).isFalse();
    return new Collected(bytes, part.getEnd());
  }

  private WriteFileResponse unpack(String path, ByteString archive) {
    return write(target(path).setUnpack(true), archive);
  }

  private void write(String path, ByteString content, boolean unpack) {
    var _ = write(target(path).setUnpack(unpack), content);
  }

  private WriteFileTarget.Builder target(String path) {
    return WriteFileTarget.newBuilder().setSandboxId(sandbox).setPath(path);
  }

  private WriteFileResponse write(WriteFileTarget.Builder target, ByteString content) {
    Recorder<WriteFileResponse> answer = new Recorder<>();
    StreamObserver<WriteFileRequest> upload =
        FileServiceGrpc.newStub(caller.channel()).writeFile(answer);
    upload.onNext(WriteFileRequest.newBuilder().setTarget(target).build());
    for (int at = 0; at < content.size(); at += 100_000) {
      upload.onNext(
          WriteFileRequest.newBuilder()
              .setData(content.substring(at, Math.min(content.size(), at + 100_000)))
              .build());
    }
    upload.onCompleted();
    try {
      answer.awaitSuccess();
    } catch (RuntimeException e) {
      throw e;
    } catch (Exception e) {
      throw new AssertionError(e);
    }
    return answer.responses().getFirst();
  }

  private ByteString read(String path) {
    return caller.shell(sandbox, "cat " + path).stream()
        .map(event -> event.getStdout().getData())
        .reduce(ByteString.EMPTY, ByteString::concat);
  }

  private String shell(String line) {
    return Caller.stdout(caller.shell(sandbox, "export LC_ALL=C; " + line));
  }
}
