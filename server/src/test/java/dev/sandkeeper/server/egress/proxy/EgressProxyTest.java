package dev.sandkeeper.server.egress.proxy;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.egress.Verdict;
import java.io.IOException;
import java.net.InetAddress;
import java.net.SocketException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.Consumer;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What goes through the proxy, and all that must not: over real sockets to a real host. */
@Timeout(60)
final class EgressProxyTest {
  private static final String HOST = "api.example.com";
  private static final String OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
  private static final String ESTABLISHED = "HTTP/1.1 200 Connection established\r\n\r\n";
  private static final String ALERT = new String(new byte[] {21, 3, 3, 0, 2, 2, 112}, ISO_8859_1);

  @TempDir private Path folder;
  private final ProxyFixture fixture = new ProxyFixture(100);
  private Origin origin;
  private ServerSocketChannel listener;
  private Consumer<SocketChannel> way;

  @BeforeEach
  void open() throws IOException {
    origin = new Origin();
    origin.answers(OK);
    fixture.names.put(HOST, List.of(Origin.ADDRESS));
    fixture.names.put("bad.example.net", List.of(Origin.ADDRESS));
    listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    listener.bind(UnixDomainSocketAddress.of(folder.resolve("s")));
    way = fixture.open(policy(1 << 20, 8));
  }

  @AfterEach
  void close() throws IOException {
    fixture.close();
    listener.close();
    origin.close();
    settle();
  }

  private NetworkPolicy policy(long maxBytes, int maxConnections) {
    return ProxyFixture.policy(
        maxBytes, maxConnections, origin.port(), HOST, "*.wild.example.com", "bücher.example");
  }

  private SocketChannel connect() throws IOException {
    SocketChannel client = SocketChannel.open(listener.getLocalAddress());
    way.accept(listener.accept());
    return client;
  }

  private static void send(SocketChannel client, byte[] bytes) throws IOException {
    Channels.newOutputStream(client).write(bytes);
  }

  private static void send(SocketChannel client, String text) throws IOException {
    send(client, text.getBytes(ISO_8859_1));
  }

  /** Reads to the end, which is a reset when the proxy has not read all that was sent. */
  private static String rest(SocketChannel client) throws IOException {
    StringBuilder text = new StringBuilder();
    ByteBuffer buffer = ByteBuffer.allocate(65536);
    try {
      while (client.read(buffer) >= 0) {
        text.append(ISO_8859_1.decode(buffer.flip()));
        buffer.clear();
      }
    } catch (SocketException _) {
      // As said.
    }
    return text.toString();
  }

  private static String read(SocketChannel client, int count) throws IOException {
    return new String(Channels.newInputStream(client).readNBytes(count), ISO_8859_1);
  }

  /** Sends something, and returns all that comes until the proxy closes. */
  private String exchange(String text) throws IOException {
    try (SocketChannel client = connect()) {
      send(client, text);
      return rest(client);
    }
  }

  private String get(String host) throws IOException {
    return exchange("GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n".formatted(at(host), at(host)));
  }

  private String at(String host) {
    return host + ":" + origin.port();
  }

  private SocketChannel tunnel() throws IOException {
    SocketChannel client = connect();
    send(client, "CONNECT " + at(HOST) + " HTTP/1.1\r\nHost: " + at(HOST) + "\r\n\r\n");
    assertThat(read(client, ESTABLISHED.length())).isEqualTo(ESTABLISHED);
    return client;
  }

  private void refused(String answer, Verdict verdict) {
    assertThat(answer).startsWith("HTTP/1.1 " + verdict.status() + " " + verdict + "\r\n");
    assertThat(answer).contains("Connection: close").endsWith(verdict.message() + "\n");
    settle();
    assertThat(origin.text()).isEmpty();
    assertThat(fixture.audited()).singleElement().asString().startsWith(verdict + " ");
  }

  private void settle() {
    await().until(() -> fixture.proxy.active() == 0);
  }

  @Test
  void aPlainRequestIsPassedOnForTheHostAlone() throws IOException {
    String answer =
        exchange(
            "POST http://"
                + at(HOST)
                + "/a/b?c=%20d HTTP/1.1\r\nHost: "
                + at("API.example.COM")
                + "\r\n"
                + "Accept: */*\r\n"
                + "Proxy-Connection: keep-alive\r\n"
                + "Connection: x-mine , close\r\n"
                + "X-Mine: secret\r\n"
                + "Proxy-Authorization: Basic eDp5\r\n"
                + "TE: trailers\r\n"
                + "Upgrade: websocket\r\n"
                + "Keep-Alive: timeout=5\r\n"
                + "Content-Length: 3\r\n\r\n"
                + "abc");

    assertThat(answer).isEqualTo(OK);
    settle();
    assertThat(origin.text())
        .isEqualTo(
            "POST /a/b?c=%20d HTTP/1.1\r\nHost: "
                + at(HOST)
                + "\r\nConnection: close\r\naccept: */*\r\nContent-Length: 3\r\n\r\nabc");
    assertThat(fixture.audited())
        .containsExactly(
            "ok "
                + at(HOST)
                + " at 127.0.0.1 connections=1 sent="
                + origin.bytes().length
                + " received="
                + OK.length());
    assertThat(fixture.usedBytes.get()).isEqualTo(origin.bytes().length + OK.length());
  }

  @Test
  void chunksArePassedOnAsChunks() throws IOException {
    String answer =
        exchange(
            "POST http://"
                + at(HOST)
                + " HTTP/1.1\r\nHost: "
                + at(HOST)
                + "\r\nTransfer-Encoding: Chunked\r\n\r\n00A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n");

    assertThat(answer).isEqualTo(OK);
    settle();
    assertThat(origin.text())
        .startsWith("POST / HTTP/1.1\r\n")
        .endsWith("\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "API.EXAMPLE.COM",
        "api.example.com.",
        "a.wild.example.com",
        "a.b.WILD.example.com",
        "xn--bcher-kva.example"
      })
  void aNameIsAllowedHoweverItIsWritten(String host) throws IOException {
    fixture.names.put("a.wild.example.com", List.of(Origin.ADDRESS));
    fixture.names.put("a.b.wild.example.com", List.of(Origin.ADDRESS));
    fixture.names.put("xn--bcher-kva.example", List.of(Origin.ADDRESS));

    assertThat(get(host)).isEqualTo(OK);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "bad.example.net",
        "wild.example.com",
        "xapi.example.com",
        "api.example.com.bad.example.net",
        "localhost",
        "localhost.",
        "api..example.com",
        "-.example.com"
      })
  void anyOtherHostIsAnswered403(String host) throws IOException {
    refused(get(host), Verdict.HOST_NOT_ALLOWED);
  }

  @Test
  void anotherPortIsAnswered403() throws IOException {
    refused(
        exchange("CONNECT " + HOST + ":" + (origin.port() ^ 1) + " HTTP/1.1\r\n\r\n"),
        Verdict.HOST_NOT_ALLOWED);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fe80::1%25eth0]",
        "93.184.216.34"
      })
  void addressesAreRefusedInEveryNotation(String address) throws IOException {
    refused(get(address), Verdict.ADDRESS_REFUSED);
    fixture.entries.clear();
    refused(exchange("CONNECT " + at(address) + " HTTP/1.1\r\n\r\n"), Verdict.ADDRESS_REFUSED);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.2",
        "10.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "100.100.100.200",
        "192.168.1.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::ffff:10.0.0.1",
        "fd00::1",
        "fd00:ec2::254",
        "fe80::1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::1"
      })
  void privateAddressesAreRefusedWhateverTheListSays(String address) throws IOException {
    fixture.names.put(HOST, List.of(Origin.ADDRESS, InetAddress.ofLiteral(address)));

    refused(get(HOST), Verdict.PRIVATE_ADDRESS);
  }

  @Test
  void itConnectsToTheAddressThatItChecked() throws IOException {
    assertThat(get(HOST)).isEqualTo(OK);
    assertThat(fixture.lookups).containsExactly(HOST + ".");

    fixture.names.put(HOST, List.of(InetAddress.ofLiteral("127.0.0.2")));
    assertThat(get(HOST)).startsWith("HTTP/1.1 403 PRIVATE_ADDRESS");
    assertThat(fixture.lookups).hasSize(2);
    assertThat(origin.connections()).isEqualTo(1);
  }

  @Test
  void theHeaderHostMustNameTheTarget() throws IOException {
    String line = "GET http://" + at(HOST) + "/ HTTP/1.1\r\n";

    refused(exchange(line + "Host: bad.example.net\r\n\r\n"), Verdict.HOST_MISMATCH);
    fixture.entries.clear();
    refused(exchange(line + "Host: " + HOST + "\r\n\r\n"), Verdict.HOST_MISMATCH);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "GET / HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET https://@/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET ftp://@/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://@/ HTTP/1.1\r\n\r\n",
        "GET http://@/ HTTP/1.1\r\nHost: @\r\nHost: @\r\n\r\n",
        "GET http://@/ HTTP/2.0\r\nHost: @\r\n\r\n",
        "GET http://@/ HTTP/1.1 \r\nHost: @\r\n\r\n",
        "GET  http://@/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://@/#x HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://u:p~@/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://api.example.com%00.bad.example.net/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://api.example.com\0/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://api.example.com\0.bad.example.net/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://b\u00fccher.example/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://api.example.com:0080/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://api.example.com:65536/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://api.example.com:/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "GET http://api.example.com\\~bad.example.net/ HTTP/1.1\r\nHost: @\r\n\r\n",
        "CONNECT api.example.com HTTP/1.1\r\n\r\n",
        "CONNECT http://@ HTTP/1.1\r\n\r\n",
        "CONNECT @/x HTTP/1.1\r\n\r\n",
        "CONNECT @ HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        // Ends of lines and headers that others read otherwise.
        "GET http://@/ HTTP/1.1\nHost: @\n\n",
        "GET http://@/ HTTP/1.1\r\nHost: @\n\r\n",
        "GET http://@/ HTTP/1.1\r\nHost: @\r\nA: b\rContent-Length: 4\r\n\r\n",
        "GET http://@/ HTTP/1.1\r\nHost: @\r\nA: b\r\n c\r\n\r\n",
        "GET http://@/ HTTP/1.1\r\nHost : @\r\n\r\n",
        "GET http://@/ HTTP/1.1\r\nHost: @\r\nNone\r\n\r\n",
        "GET http://@/ HTTP/1.1\r\nHost: @\r\nA: b\0\r\n\r\n",
        "GET http://@/ HTTP/1.1\r\nHost: @\r\n: b\r\n\r\n",
        // Bodies whose end two programs would find at different places.
        "POST http://@/ HTTP/1.1\r\nHost: @\r\nContent-Length: 3\r\n^chunked\r\n\r\n",
        "POST http://@/ HTTP/1.1\r\nHost: @\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "POST http://@/ HTTP/1.1\r\nHost: @\r\nContent-Length: 3, 3\r\n\r\n",
        "POST http://@/ HTTP/1.1\r\nHost: @\r\nContent-Length: +3\r\n\r\n",
        "POST http://@/ HTTP/1.1\r\nHost: @\r\nContent-Length: -3\r\n\r\n",
        "POST http://@/ HTTP/1.1\r\nHost: @\r\nContent-Length: 0x3\r\n\r\n",
        "POST http://@/ HTTP/1.1\r\nHost: @\r\n^chunked, identity\r\n\r\n",
        "POST http://@/ HTTP/1.1\r\nHost: @\r\n^xchunked\r\n\r\n",
        "POST http://@/ HTTP/1.1\r\nHost: @\r\n^chunked\r\n^chunked\r\n\r\n",
        "POST http://@/ HTTP/1.0\r\nHost: @\r\n^chunked\r\n\r\n"
      })
  void whatCouldBeReadInTwoWaysIsRefused(String request) throws IOException {
    refused(
        exchange(
            request.replace("@", at(HOST)).replace('~', '@').replace("^", "Transfer-Encoding: ")),
        Verdict.MALFORMED_REQUEST);
  }

  @ParameterizedTest
  @CsvSource({
    "GET http://user:pw@@@/x?a=pw HTTP/1.1, @",
    "GET http://user:p@@w@@@/ HTTP/1.1, @",
    "GET http://user:pw@@[::1]:80/ HTTP/1.1, [::1]:80",
    "GET http://user:pw@@127.0.0.1/ HTTP/1.1, 127.0.0.1",
    "CONNECT user:pw@@@ HTTP/1.1, @",
    "CONNECT http://@/?user:pw HTTP/1.1, unknown target",
    "CONNECT http://@/?user:pw@@x HTTP/1.1, unknown target",
    "CONNECT [user:pw HTTP/1.1, unknown target",
    "GET http://user:pw/ HTTP/1.1, unknown target",
    "GET @/user:pw HTTP/1.1, unknown target",
    "user:pw GET / HTTP/1.1, unknown target",
  })
  void noPasswordIsRecorded(String line, String recorded) throws IOException {
    String answer =
        exchange(
            withTarget(line) + "\r\nHost: user:pw\r\nProxy-Authorization: Basic user:pw\r\n\r\n");

    assertThat(answer).startsWith("HTTP/1.1 4").doesNotContain("pw");
    settle();
    assertThat(fixture.audited())
        .singleElement()
        .asString()
        .contains(" " + withTarget(recorded) + " connections=1")
        .doesNotContain("user", "pw");
  }

  /** Puts the host of the tests in the place of an at sign, and an at sign in that of two. */
  private String withTarget(String text) {
    return text.replace("@@", "~").replace("@", at(HOST)).replace('~', '@');
  }

  @Test
  void headsAreBounded() throws IOException {
    String start = "GET http://" + at(HOST) + "/ HTTP/1.1\r\nHost: " + at(HOST) + "\r\n";

    refused(exchange(start + "A: b\r\n".repeat(100)), Verdict.MALFORMED_REQUEST);
    fixture.entries.clear();
    refused(exchange(start + "A: " + " ".repeat(33_000)), Verdict.MALFORMED_REQUEST);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "3;x=y\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "-1\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "000000003\r\nabc\r\n0\r\n\r\n",
        "0\r\nX-Trailer: y\r\n\r\n"
      })
  void chunksThatCouldBeReadInTwoWaysEndTheConnection(String chunks) throws IOException {
    origin.answersAndStays("");
    String answer =
        exchange(
            "POST http://"
                + at(HOST)
                + "/ HTTP/1.1\r\nHost: "
                + at(HOST)
                + "\r\nTransfer-Encoding: chunked\r\n\r\n"
                + chunks);

    assertThat(answer).isEmpty();
    settle();
    assertThat(origin.text()).doesNotContain("Trailer", "abcd", "0\r\n\r\n");
    assertThat(fixture.audited()).last().asString().startsWith("MALFORMED_REQUEST ");
  }

  @Test
  void oneConnectionCarriesOneRequest() throws IOException {
    String second = "GET http://bad.example.net/ HTTP/1.1\r\nHost: bad.example.net\r\n\r\n";
    String answer =
        exchange(
            "POST http://"
                + at(HOST)
                + "/ HTTP/1.1\r\nHost: "
                + at(HOST)
                + "\r\nContent-Length: 3\r\n\r\nabc"
                + second);

    assertThat(answer).isEqualTo(OK);
    settle();
    assertThat(origin.text()).endsWith("\r\n\r\nabc");
  }

  @Test
  void aRedirectIsAnAnswerAndWhereItLeadsIsAskedForAnew() throws IOException {
    String redirect = "HTTP/1.1 302 Found\r\nLocation: http://bad.example.net/\r\n\r\n";
    origin.answers(redirect);

    assertThat(get(HOST)).isEqualTo(redirect);
    assertThat(get("bad.example.net")).startsWith("HTTP/1.1 403 HOST_NOT_ALLOWED");
    settle();
    assertThat(origin.connections()).isEqualTo(1);
  }

  @Test
  void aTunnelCarriesTlsThatNamesTheHost() throws Exception {
    origin.answersAndStays("answer");
    byte[] hello = realHello(HOST);
    try (SocketChannel client = tunnel()) {
      send(client, hello);
      assertThat(read(client, 6)).isEqualTo("answer");
      send(client, "more");
      client.shutdownOutput();
      assertThat(rest(client)).isEmpty();
    }
    settle();
    assertThat(origin.text()).isEqualTo(new String(hello, ISO_8859_1) + "more");
    assertThat(fixture.audited())
        .containsExactly(
            "ok %s at 127.0.0.1 connections=1 sent=%d received=6"
                .formatted(at(HOST), hello.length + 4));
  }

  /** As the JDK writes it, with all its extensions. */
  private static byte[] realHello(String host) throws Exception {
    SSLEngine engine = SSLContext.getDefault().createSSLEngine();
    engine.setUseClientMode(true);
    SSLParameters parameters = engine.getSSLParameters();
    parameters.setServerNames(List.of(new SNIHostName(host)));
    engine.setSSLParameters(parameters);
    ByteBuffer hello = ByteBuffer.allocate(engine.getSession().getPacketBufferSize());
    engine.wrap(ByteBuffer.allocate(0), hello);
    byte[] bytes = new byte[hello.flip().remaining()];
    hello.get(bytes);
    return bytes;
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 5, 40, 16384})
  void theFirstMessageOfTlsIsReadAcrossRecordsAndPackets(int most) throws IOException {
    byte[] hello = Hello.records(Hello.message(new byte[0], "API.example.com"), most);
    origin.answers("answer");
    try (SocketChannel client = tunnel()) {
      for (byte one : hello) {
        send(client, new byte[] {one});
      }
      assertThat(rest(client)).isEqualTo("answer");
    }
    settle();
    assertThat(origin.bytes()).isEqualTo(hello);
  }

  @ParameterizedTest
  @CsvSource({
    "bad.example.net, SERVER_NAME_MISMATCH",
    "api.example.com., SERVER_NAME_MISMATCH",
    "wild.api.example.com, SERVER_NAME_MISMATCH",
    "127.0.0.1, SERVER_NAME_MISMATCH",
    "none, NO_SERVER_NAME",
    "api.example.com|api.example.com, NO_SERVER_NAME",
    "api.example.com|bad.example.net, SERVER_NAME_MISMATCH"
  })
  void tlsForAnotherHostIsRefusedBeforeAByteGoesOut(String names, Verdict verdict)
      throws IOException {
    String[] hosts = names.equals("none") ? new String[0] : names.split("\\|");
    refusedInTunnel(Hello.to(hosts), ALERT, verdict);
    fixture.entries.clear();
    refusedInTunnel(Hello.records(Hello.message(new byte[0], hosts), 7), ALERT, verdict);
  }

  @ParameterizedTest
  @ValueSource(ints = {0xfe0d, 0xffce})
  void tlsThatHidesTheHostIsRefused(int extension) throws IOException {
    byte[] message = Hello.message(Hello.extension(extension, new byte[40]), HOST);

    refusedInTunnel(Hello.records(message, 16384), ALERT, Verdict.ENCRYPTED_CLIENT_HELLO);
  }

  @Test
  void whatIsNoFirstMessageOfTlsIsRefused() throws IOException {
    byte[] hello = Hello.to(HOST);
    byte[] message = Hello.message(new byte[0], HOST);
    byte[] version2 = hello.clone();
    version2[1] = 2;
    byte[] serverHello = message.clone();
    serverHello[0] = 2;
    byte[] huge = message.clone();
    huge[1] = 1;

    for (byte[] bytes :
        List.of(
            "CONNECT bad.example.net:443 HTTP/1.1\r\n\r\n".getBytes(ISO_8859_1),
            "GET / HTTP/1.1\r\nHost: bad.example.net\r\n\r\n".getBytes(ISO_8859_1),
            "SSH-2.0-x\r\n".getBytes(ISO_8859_1),
            new byte[] {0},
            version2,
            Hello.records(serverHello, 16384),
            Hello.records(huge, 16384),
            new byte[] {22, 3, 1, 0, 0},
            new byte[] {22, 3, 1, 0x40, 1},
            // Something behind the message, in its own record.
            Hello.records(Hello.join(message, message), 16384))) {
      refusedInTunnel(bytes, "", Verdict.NOT_TLS);
      fixture.entries.clear();
    }
  }

  @Test
  void aCutFirstMessageOfTlsNeverGoesOut() throws IOException {
    byte[] message = Hello.message(new byte[0], HOST);
    for (int cut = 4; cut < message.length; cut++) {
      byte[] shorter = java.util.Arrays.copyOf(message, cut);
      shorter[3] = (byte) (cut - 4);
      try (SocketChannel client = tunnel()) {
        send(client, Hello.records(shorter, 16384));
        assertThat(rest(client)).isEqualTo(ALERT);
      }
    }
    settle();
    assertThat(origin.text()).isEmpty();
  }

  private void refusedInTunnel(byte[] bytes, String answer, Verdict verdict) throws IOException {
    try (SocketChannel client = tunnel()) {
      send(client, bytes);
      assertThat(rest(client)).isEqualTo(answer);
    }
    settle();
    assertThat(origin.text()).isEmpty();
    assertThat(fixture.audited())
        .containsExactly(
            verdict + " " + at(HOST) + " at 127.0.0.1 connections=1 sent=0 received=0");
  }

  @Test
  void connectionsAtOnceAreBounded() throws IOException {
    way = fixture.open(policy(1 << 20, 2));
    try (SocketChannel _ = connect()) {
      SocketChannel other = connect();
      assertThat(exchange("")).startsWith("HTTP/1.1 429 TOO_MANY_CONNECTIONS");
      other.close();
      await().until(() -> fixture.proxy.active() == 1);
      assertThat(get(HOST)).isEqualTo(OK);
    }
  }

  @Test
  void connectionsOfAllSandboxesAreBounded() throws IOException {
    try (ProxyFixture small = new ProxyFixture(1)) {
      way = small.open(policy(1 << 20, 8));
      Consumer<SocketChannel> other = small.open(policy(1 << 20, 8));
      try (SocketChannel _ = connect()) {
        way = other;
        assertThat(exchange("")).startsWith("HTTP/1.1 503 SERVER_BUSY");
      }
    }
  }

  @Test
  void bytesInBothDirectionsAreBoundedForAllTime() throws IOException {
    origin.answersAndStays("x".repeat(3000));
    way = fixture.open(policy(2000, 8));
    try (SocketChannel client = tunnel()) {
      send(client, Hello.to(HOST));
      assertThat(rest(client).length()).isLessThan(2000);
    }
    settle();
    assertThat(get(HOST)).startsWith("HTTP/1.1 403 BYTE_LIMIT");
    settle();
    assertThat(fixture.audited()).anyMatch(event -> event.startsWith("BYTE_LIMIT "));
    await().until(() -> origin.ended() == 1);

    // What was used is known to a later server too.
    fixture.usedBytes.set(2000);
    way = fixture.open(policy(2000, 8));
    assertThat(get(HOST)).startsWith("HTTP/1.1 403 BYTE_LIMIT");
  }

  @Test
  void whatIsSentBeyondTheBytesDoesNotGoOut() throws IOException {
    byte[] hello = Hello.to(HOST);
    origin.answersAndStays("");
    way = fixture.open(policy(hello.length + 10, 8));
    try (SocketChannel client = tunnel()) {
      send(client, hello);
      await().until(() -> origin.bytes().length == hello.length);
      send(client, "x".repeat(11));
      assertThat(rest(client)).isEmpty();
    }
    settle();
    assertThat(origin.bytes()).isEqualTo(hello);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "GET http://api.exa", "GET http://@/ HTTP/1.1\r\nA: b\r\n"})
  void aHeadThatDoesNotComeToItsEndIsCut(String start) throws IOException {
    try (SocketChannel client = connect()) {
      send(client, start);
      fixture.nanos.addAndGet(Duration.ofSeconds(9).toNanos());
      fixture.proxy.check();
      send(client, "x");
      fixture.nanos.addAndGet(Duration.ofSeconds(2).toNanos());
      fixture.proxy.check();
      assertThat(rest(client)).isEmpty();
    }
    settle();
    assertThat(fixture.audited()).singleElement().asString().startsWith("TIMED_OUT ");
  }

  @Test
  void aSlowFirstMessageOfTlsIsCut() throws IOException {
    try (SocketChannel client = tunnel()) {
      send(client, new byte[] {22, 3});
      fixture.nanos.addAndGet(Duration.ofSeconds(11).toNanos());
      fixture.proxy.check();
      assertThat(rest(client)).isEmpty();
    }
    settle();
    assertThat(origin.text()).isEmpty();
  }

  @Test
  void aSilentConnectionIsCutAndOneThatIsUsedIsNot() throws IOException {
    origin.answersAndStays("answer");
    try (SocketChannel client = tunnel()) {
      send(client, Hello.to(HOST));
      assertThat(read(client, 6)).isEqualTo("answer");
      fixture.nanos.addAndGet(Duration.ofSeconds(50).toNanos());
      fixture.proxy.check();
      int before = origin.bytes().length;
      send(client, "x");
      await().until(() -> origin.bytes().length == before + 1);
      fixture.nanos.addAndGet(Duration.ofSeconds(50).toNanos());
      fixture.proxy.check();
      assertThat(fixture.proxy.active()).isEqualTo(1);
      fixture.nanos.addAndGet(Duration.ofSeconds(11).toNanos());
      fixture.proxy.check();
      assertThat(rest(client)).isEmpty();
    }
    settle();
    await().until(() -> origin.ended() == 1);
  }

  @Test
  void whatCannotBeReachedIsToldAsSuch() throws IOException {
    fixture.names.remove(HOST);
    assertThat(get(HOST)).startsWith("HTTP/1.1 502 NAME_NOT_FOUND");
    fixture.names.put(HOST, List.of(Origin.ADDRESS));
    origin.close();
    // The kernel may take a last connection while the port is closed.
    await().untilAsserted(() -> assertThat(get(HOST)).startsWith("HTTP/1.1 502 CONNECT_FAILED"));
  }

  @Test
  void aFloodFillsTheAuditTrailWithABoundedNumberOfEvents() throws IOException {
    for (int i = 0; i < 100; i++) {
      assertThat(get("n" + i + ".example.net")).startsWith("HTTP/1.1 403");
    }
    settle();

    List<String> audited = fixture.audited();
    assertThat(audited).hasSize(33);
    assertThat(audited).contains("HOST_NOT_ALLOWED other targets connections=68 sent=0 received=0");
    assertThat(
            audited.stream()
                .mapToInt(
                    event -> Integer.parseInt(event.replaceAll(".*connections=([0-9]+).*", "$1")))
                .sum())
        .isEqualTo(100);
  }
}
