package dev.sandkeeper.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.HttpCaller.Answer;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Base64;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Files as raw bytes by HTTP: whole or not at all, at any path, and in ranges. */
class HttpFilesTest {
  private static final int MAX_BYTES = 4 << 20;
  private static final byte[] HELLO = "hello".getBytes(StandardCharsets.UTF_8);

  @RegisterExtension
  static final RunningServer server =
      new RunningServer(
          Map.of(
              "SANDKEEPER_FILES_MAX_UPLOAD_SIZE", "4 MiB",
              "SANDKEEPER_FILES_MAX_DOWNLOAD_SIZE", "4 MiB",
              "SANDKEEPER_SERVER_MAX_MESSAGE_SIZE", "64 KiB"));

  private final HttpCaller caller = new HttpCaller(server);
  private final Caller runner = server.runner();
  private String sandbox;

  @BeforeEach
  void createSandbox() {
    sandbox = runner.create().getSandboxId();
  }

  @AfterEach
  void closeCaller() {
    caller.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"/v1", "/api/v1"})
  void whatWasPutIsGot(String root) throws Exception {
    byte[] content = random(MAX_BYTES);
    String path = root + "/sandboxes/" + sandbox + "/files/data/report.bin";

    Answer written = put(path, content);
    Answer read = caller.get(path);
    Answer again = put(path, HELLO);

    assertThat(written.status()).as("%s", written.text()).isEqualTo(201);
    assertThat(written.at("/file/path").asText()).isEqualTo("/home/user/data/report.bin");
    assertThat(written.at("/file/sizeBytes").asLong()).isEqualTo(MAX_BYTES);
    assertThat(Base64.getDecoder().decode(written.at("/sha256").asText()))
        .isEqualTo(MessageDigest.getInstance("SHA-256").digest(content));
    assertThat(read.status()).isEqualTo(200);
    assertThat(read.bytes()).isEqualTo(content);
    assertThat(read.header("content-type")).isEqualTo("application/octet-stream");
    assertThat(read.header("content-length")).isEqualTo(Integer.toString(MAX_BYTES));
    assertThat(read.header("accept-ranges")).isEqualTo("bytes");
    assertThat(read.header("x-content-type-options")).isEqualTo("nosniff");
    assertThat(again.status()).isEqualTo(200);
    assertThat(caller.get(path).bytes()).isEqualTo(HELLO);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "/files/a.txt                     | /home/user/a.txt",
        "/files/deep/er/a.txt             | /home/user/deep/er/a.txt",
        "/files//tmp/a.txt                | /tmp/a.txt",
        "/files/%2Ftmp%2Fa.txt            | /tmp/a.txt",
        "/files?path=/tmp/a.txt           | /tmp/a.txt",
        "/files?path=%2Ftmp%2Fa+b.txt     | /tmp/a b.txt",
        "/files?path=a%2Bb.txt            | /home/user/a+b.txt",
        "/files/a+b%20c.txt               | /home/user/a+b c.txt",
        "/files/%C3%BCber%25.txt          | /home/user/über%.txt",
        "/files/a%3Fb%23c%26d%3De;f.txt   | /home/user/a?b#c&d=e;f.txt",
        "/files/v1/sandboxes/x/files/y    | /home/user/v1/sandboxes/x/files/y",
        "/files/a:list                    | /home/user/a:list",
      })
  void aFileMayHaveAnyName(String request, String path) {
    Answer written = put("/v1/sandboxes/" + sandbox + request, HELLO);

    assertThat(written.status()).as("%s", written.text()).isEqualTo(201);
    assertThat(written.at("/file/path").asText()).isEqualTo(path);
    assertThat(caller.get("/v1/sandboxes/" + sandbox + request).bytes()).isEqualTo(HELLO);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "/files", // none
        "/files?path=", // empty
        "/files/a?path=b", // two
        "/files?path=a&path=b",
        "/files/a?other=b",
        "/files/%FF", // no UTF-8
        "/files/%C3",
        "/files?path=%FF",
        "/files/a%00b",
        "/files?path=a%00b",
        "/files?path=a/%2e%2e/b",
        "/files?path=../x",
        "/files/%2e%2e/x",
        "/files/..%2Fx",
        "/files/a/../../x",
        "/files/%zz",
        "/files/%2",
        "/files?path=%zz",
      })
  void aPathThatIsNoneIsRefused(String request) throws Exception {
    for (String method : new String[] {"GET", "PUT"}) {
      // By hand, as clients tidy such paths or refuse to send them.
      String answer = raw(method, "/v1/sandboxes/" + sandbox + request);

      assertThat(answer).startsWith("HTTP/1.1 400 ").contains("application/json");
      assertThat(answer)
          .contains("\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo");
    }
    assertThat(Caller.stdout(runner.shell(sandbox, "ls -A"))).isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "bytes=0-0      | 0    | 1",
        "bytes=100-149  | 100  | 150",
        "bytes=4990-    | 4990 | 5000",
        "bytes=4990-9999| 4990 | 5000",
        "bytes=-10      | 4990 | 5000",
        "bytes=-9999    | 0    | 5000",
        "bytes=0-       | 0    | 5000",
      })
  void aRangeIsGot(String range, int from, int to) {
    byte[] content = random(5000);
    var _ = put(file("file"), content);

    Answer part = caller.get(file("file"), "range", range);

    assertThat(part.status()).isEqualTo(206);
    assertThat(part.bytes()).isEqualTo(Arrays.copyOfRange(content, from, to));
    assertThat(part.header("content-range")).isEqualTo("bytes " + from + "-" + (to - 1) + "/5000");
    assertThat(part.header("content-length")).isEqualTo(Integer.toString(to - from));
  }

  @ParameterizedTest
  @ValueSource(strings = {"bytes=5000-", "bytes=9999-10000", "bytes=-0"})
  void aRangeThatTheFileDoesNotHaveIsRefused(String range) {
    var _ = put(file("file"), random(5000));

    Answer answer = caller.get(file("file"), "range", range);

    assertThat(answer.status()).isEqualTo(416);
    assertThat(answer.header("content-range")).isEqualTo("bytes */5000");
    assertThat(answer.reason()).isEqualTo("HTTP_REQUESTED_RANGE_NOT_SATISFIABLE");
  }

  @ParameterizedTest
  @ValueSource(strings = {"bytes=0-1,3-4", "bytes=4-1", "lines=0-1", "bytes=a-b", "bytes=", "x"})
  void whatIsNoSingleRangeGivesTheWholeFile(String range) {
    var _ = put(file("file"), HELLO);

    Answer answer = caller.get(file("file"), "range", range);

    assertThat(answer.status()).isEqualTo(200);
    assertThat(answer.bytes()).isEqualTo(HELLO);
  }

  @Test
  void withoutValidatorsAConditionalRangeGivesTheWholeFile() {
    var _ = put(file("file"), HELLO);

    Answer answer = caller.get(file("file"), "range", "bytes=0-1", "if-range", "\"tag\"");

    assertThat(answer.status()).isEqualTo(200);
    assertThat(answer.bytes()).isEqualTo(HELLO);
  }

  @Test
  void whatHasNoKnownSizeIsSentToItsEnd() {
    var _ = put(file("file"), HELLO);
    var _ = runner.shell(sandbox, "ln -s file link; : >empty");

    Answer link = caller.get(file("link"), "range", "bytes=0-1");
    Answer empty = caller.get(file("empty"));

    assertThat(link.status()).isEqualTo(200);
    assertThat(link.bytes()).isEqualTo(HELLO);
    assertThat(link.header("content-length")).isEmpty();
    assertThat(empty.status()).isEqualTo(200);
    assertThat(empty.bytes()).isEmpty();
    assertThat(caller.get(file("/proc/self/status")).text()).contains("Name:");
  }

  @Test
  void headSaysWhatGetWould() {
    var _ = put(file("file"), HELLO);

    Answer head = caller.call("HEAD", file("file"), "");
    Answer none = caller.call("HEAD", file("none"), "");
    Answer directory = caller.call("HEAD", file("."), "");

    assertThat(head.status()).isEqualTo(200);
    assertThat(head.header("content-length")).isEqualTo("5");
    assertThat(head.header("accept-ranges")).isEqualTo("bytes");
    assertThat(head.bytes()).isEmpty();
    assertThat(none.status()).isEqualTo(404);
    assertThat(none.bytes()).isEmpty();
    assertThat(directory.status()).isEqualTo(400);
  }

  @Test
  void refusalsHaveTheirStatus() {
    Answer none = caller.get(file("none"));
    Answer directory = caller.get(file("."));
    Answer onDirectory = put(file("/tmp"), HELLO);
    Answer noSandbox = caller.get("/v1/sandboxes/" + "a".repeat(20) + "/files/x");
    Answer part =
        caller.send(
            "PUT", file("x"), BodyPublishers.ofByteArray(HELLO), "content-range", "bytes 0-4/9");

    assertThat(none.status()).isEqualTo(404);
    assertThat(none.reason()).isEqualTo("FILE_NOT_FOUND");
    assertThat(directory.status()).isEqualTo(400);
    assertThat(directory.reason()).isEqualTo("FILE_REFUSED");
    assertThat(onDirectory.status()).isEqualTo(400);
    assertThat(noSandbox.status()).isEqualTo(404);
    assertThat(noSandbox.reason()).isEqualTo("SANDBOX_NOT_FOUND");
    assertThat(part.status()).isEqualTo(400);
    assertThat(part.text()).contains("\"field\":\"content-range\"");
    assertThat(caller.delete(file("x")).status()).isEqualTo(405);
  }

  @Test
  void whoMayReadMayNotWrite() {
    String bearer = "Bearer " + server.reader().secret();
    Answer put =
        caller.send(
            caller
                .anonymous(file("x"))
                .header("authorization", bearer)
                .PUT(BodyPublishers.ofByteArray(HELLO)));
    Answer got = caller.send(caller.anonymous(file("x")).header("authorization", bearer).GET());
    Answer nobody = caller.send(caller.anonymous(file("x")).GET());

    assertThat(put.status()).isEqualTo(403);
    assertThat(got.status()).isEqualTo(404);
    assertThat(nobody.status()).isEqualTo(401);
  }

  @Test
  void aByteTooManyLeavesWhatWasThere() {
    var _ = put(file("file"), HELLO);

    byte[] tooMuch = random(MAX_BYTES + 1);
    BodyPublisher unannounced =
        BodyPublishers.ofInputStream(() -> new java.io.ByteArrayInputStream(tooMuch));
    Answer chunked = caller.send("PUT", file("file"), unannounced);
    Answer announced = put(file("file"), tooMuch);

    for (Answer refusal : new Answer[] {chunked, announced}) {
      assertThat(refusal.status()).isEqualTo(413);
      assertThat(refusal.reason()).isEqualTo("SIZE_LIMIT_EXCEEDED");
      assertThat(refusal.header("retry-after")).isEmpty();
      assertThat(refusal.at("/details/0/metadata/maxUploadBytes").asInt()).isEqualTo(MAX_BYTES);
    }
    assertThat(Caller.stdout(runner.shell(sandbox, "cat file; ls -A"))).isEqualTo("hellofile\n");
  }

  @Test
  void moreThanADownloadMayHaveIsGotInRanges() {
    var _ = runner.shell(sandbox, "head -c 5000000 /dev/zero >big");

    Answer whole = caller.get(file("big"));
    Answer part = caller.get(file("big"), "range", "bytes=4000000-");

    assertThat(whole.status()).isEqualTo(413);
    assertThat(whole.reason()).isEqualTo("SIZE_LIMIT_EXCEEDED");
    assertThat(caller.call("HEAD", file("big"), "").header("content-length")).isEqualTo("5000000");
    assertThat(part.status()).isEqualTo(206);
    assertThat(part.bytes()).hasSize(1_000_000);
  }

  @Test
  void aBrokenUploadLeavesNothing() throws Exception {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port())) {
      OutputStream out = socket.getOutputStream();
      out.write(head("PUT", file("half"), "content-length: 1000000\r\n"));
      out.write(random(300_000));
      out.flush();
      // It is under way for sure once the sandbox has something of it.
      await()
          .until(
              () -> !Caller.stdout(runner.shell(sandbox, "find . -type f -size +100k")).isEmpty());
    }

    await()
        .untilAsserted(
            () -> assertThat(Caller.stdout(runner.shell(sandbox, "find . -type f"))).isEmpty());
  }

  @Test
  void aSlowDownloadIsHeldBackAndWhole() throws Exception {
    byte[] content = random(MAX_BYTES);
    var _ = put(file("file"), content);

    HttpResponse<InputStream> answer = caller.open(caller.request(file("file")).GET());
    byte[] got = new byte[MAX_BYTES];
    int at = 0;
    try (InputStream body = answer.body()) {
      for (int read = body.read(got, at, 1000); read > 0; ) {
        at += read;
        read = body.read(got, at, Math.min(1000, MAX_BYTES - at));
      }
    }

    assertThat(at).isEqualTo(MAX_BYTES);
    assertThat(got).isEqualTo(content);
  }

  private String file(String path) {
    return "/v1/sandboxes/" + sandbox + "/files/" + path;
  }

  private Answer put(String path, byte[] content) {
    return caller.send("PUT", path, BodyPublishers.ofByteArray(content));
  }

  private byte[] head(String method, String path, String headers) {
    return "%s %s HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %s\r\n%s\r\n"
        .formatted(method, path, server.admin().secret(), headers)
        .getBytes(StandardCharsets.ISO_8859_1);
  }

  /** Sends a request as it stands and returns the answer as it stands. */
  private String raw(String method, String path) throws Exception {
    try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), server.port())) {
      socket.setSoTimeout(30_000);
      socket.getOutputStream().write(head(method, path, "connection: close\r\n"));
      return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  private static byte[] random(int size) {
    byte[] bytes = new byte[size];
    new Random(size).nextBytes(bytes);
    return bytes;
  }
}
