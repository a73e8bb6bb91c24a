package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.egress.proxy.Origin;
import dev.sandkeeper.server.egress.proxy.ProxyFixture;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Recording;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The way out of real sandboxes, to a host on this machine that the proxy lets through. */
class LocalEngineEgressTest {
  private static final String BODY = "0123456789abcdef".repeat(100_000);

  private static EngineFixture fixture;
  private static ProxyFixture proxy;
  private static Origin origin;
  private static NetworkPolicy policy;
  private static EngineSandbox sandbox;

  @BeforeAll
  static void create() throws Exception {
    fixture = new EngineFixture();
    proxy = new ProxyFixture(100);
    origin = new Origin();
    origin.answers("HTTP/1.1 200 OK\r\n\r\n" + BODY);
    proxy.names.put("api.example.com", List.of(Origin.ADDRESS));
    proxy.names.put("bad.example.net", List.of(Origin.ADDRESS));
    policy = ProxyFixture.policy(1L << 30, 64, origin.port(), "api.example.com");
    sandbox = fixture.engine().create(EngineFixture.spec(Duration.ofMinutes(5), true));
    sandbox.openNetwork(proxy.open(policy));
  }

  @AfterAll
  static void destroy() throws Exception {
    fixture.close();
    proxy.close();
    origin.close();
  }

  private static Recording bash(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.bash(source));
  }

  private static Recording python(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.python(source));
  }

  private static String url(String host) {
    return "http://" + host + ":" + origin.port() + "/";
  }

  @Test
  void curlReachesWhatIsAllowedAndIsToldWhyNotTheRest() throws Exception {
    assertThat(bash("curl -sS " + url("api.example.com") + " | sha256sum").stdout())
        .isEqualTo(bash("printf '0123456789abcdef%.0s' $(seq 100000) | sha256sum").stdout());
    assertThat(bash("curl -s -w ' %{http_code}' " + url("bad.example.net")).stdout())
        .startsWith("HOST_NOT_ALLOWED: ")
        .endsWith(" 403");
    assertThat(bash("curl -s -w ' %{http_code}' " + url("127.0.0.2")).stdout())
        .startsWith("ADDRESS_REFUSED: ")
        .endsWith(" 403");
    assertThat(bash("curl -sS https://bad.example.net/").stderr()).contains("403");
  }

  @Test
  void pythonFindsTheWayOutByItsEnvironmentAlone() throws Exception {
    assertThat(
            python(
                    """
                    import urllib.request, urllib.error
                    body = urllib.request.urlopen('%s').read()
                    try:
                        urllib.request.urlopen('%s')
                    except urllib.error.HTTPError as e:
                        error = e.code, e.reason
                    len(body), error
                    """
                        .formatted(url("api.example.com"), url("bad.example.net")))
                .results())
        .containsEntry("text/plain", "(1600000, (403, 'HOST_NOT_ALLOWED'))");
  }

  @Test
  void aRefusalIsReadAlsoWhenMuchWasSent() throws Exception {
    String post = "head -c 3000000 /dev/zero | curl -s -H Expect: --data-binary @- ";

    for (int i = 0; i < 10; i++) {
      assertThat(bash(post + url("bad.example.net")).stdout()).startsWith("HOST_NOT_ALLOWED: ");
    }
  }

  @Test
  void manyConnectionsAtOnceAreCarried() throws Exception {
    assertThat(
            python(
                    """
                    import concurrent.futures, urllib.request
                    def size(_):
                        return len(urllib.request.urlopen('%s').read())
                    with concurrent.futures.ThreadPoolExecutor(20) as pool:
                        sizes = set(pool.map(size, range(60)))
                    sizes
                    """
                        .formatted(url("api.example.com")))
                .results())
        .containsEntry("text/plain", "{1600000}");
  }

  @Test
  void programsThatIgnoreTheirEnvironmentFindNoRouteAndNoNames() throws Exception {
    assertThat(bash("cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '").stdout())
        .isEqualTo("lo\n");
    assertThat(
            python(
                    """
                    import socket
                    def tried(call):
                        try:
                            return call()
                        except OSError as e:
                            return type(e).__name__, e.errno
                    (tried(lambda: socket.create_connection(('93.184.216.34', 80), 2)),
                     tried(lambda: socket.create_connection(('127.0.0.1', %d), 2)),
                     tried(lambda: socket.getaddrinfo('api.example.com', 80))[0],
                     tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
                         b'x', ('8.8.8.8', 53))))
                    """
                        .formatted(origin.port()))
                .results())
        .containsEntry(
            "text/plain",
            "(('OSError', 101), ('ConnectionRefusedError', 111), 'gaierror', ('OSError', 101))");
  }

  @Test
  void theEnginesSocketAndTheForwarderAreOutOfReach() throws Exception {
    assertThat(
            python(
                    """
                    import os, socket
                    def tried(call):
                        try:
                            call()
                            return 'done'
                        except OSError as e:
                            return e.errno
                    unix = lambda: socket.socket(socket.AF_UNIX)
                    sent = 0
                    for pid in range(1, 300):
                        try:
                            os.kill(pid, 0)
                            sent += os.stat('/proc/%d' % pid).st_uid != 1000
                        except OSError:
                            pass
                    (tried(lambda: unix().connect('/run/sandkeeper/egress.sock')),
                     tried(lambda: os.unlink('/run/sandkeeper/egress.sock')),
                     tried(lambda: socket.create_server(('127.0.0.1', 3128), reuse_port=True)),
                     sent)
                    """)
                .results())
        .containsEntry("text/plain", "(13, 13, 98, 0)");
  }

  @Test
  void aForwarderThatDiesIsMadeAnew() throws Exception {
    String fetch = "curl -sS -o /dev/null -w '%{http_code}' " + url("api.example.com");
    assertThat(bash(fetch).stdout()).isEqualTo("200");
    long before = forwarder();

    ProcessHandle.of(before).orElseThrow().destroyForcibly();

    await().ignoreExceptions().until(() -> forwarder() != before);
    assertThat(bash(fetch).stdout()).isEqualTo("200");
  }

  /** Of the agent's processes it is the one without any right. */
  private static long forwarder() throws IOException {
    CgroupTree tree =
        CgroupTree.detect(fixture.settings().cgroupRoot(), fixture.settings().cgroupParent());
    int range = tree.rangeOf(sandbox.id()).orElseThrow();
    for (long pid : tree.sandbox(range, sandbox.id()).processes()) {
      List<String> status = Files.readAllLines(Path.of("/proc/" + pid + "/status"));
      boolean hasNoRight = status.contains("CapPrm:\t0000000000000000");
      // The user's own show the score by which they are killed first.
      boolean isUsers =
          Files.readString(Path.of("/proc/" + pid + "/oom_score_adj")).equals("1000\n");
      if (hasNoRight && !isUsers) {
        return pid;
      }
    }
    throw new IOException("none");
  }

  @Test
  void theWayIsOpenedAnewByALaterEngine() throws Exception {
    try (EngineFixture own = new EngineFixture()) {
      EngineSandbox first = own.engine().create(EngineFixture.spec(Duration.ofMinutes(5), true));
      String fetch = "curl -s -o /dev/null -w '%{http_code}' " + url("api.example.com");
      // Nobody has opened it: who connects is told, and does not wait.
      assertThat(EngineFixture.run(first, EngineFixture.bash(fetch)).stdout()).isEqualTo("000");
      own.restart();

      EngineSandbox adopted = own.engine().adopt(first.id(), 7).orElseThrow();
      adopted.takeUp(List.of());
      adopted.openNetwork(proxy.open(policy));

      assertThat(EngineFixture.run(adopted, EngineFixture.bash(fetch)).stdout()).isEqualTo("200");
    }
  }

  @Test
  void aSandboxWithoutPolicyHasNeitherPortNorVariables() throws Exception {
    try (EngineFixtureSandbox other = new EngineFixtureSandbox(fixture)) {
      Recording recording =
          EngineFixture.run(
              other.sandbox(),
              EngineFixture.bash("env | grep -ci proxy; curl -sS http://127.0.0.1:3128/"));
      assertThat(recording.stdout()).isEqualTo("0\n");
      assertThat(recording.stderr()).contains("Failed to connect");
    }
  }
}
