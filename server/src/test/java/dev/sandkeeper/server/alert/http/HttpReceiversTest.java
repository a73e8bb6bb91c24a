package dev.sandkeeper.server.alert.http;

import static org.assertj.core.api.Assertions.assertThat;

import com.linecorp.armeria.common.HttpResponse;
import com.linecorp.armeria.common.TlsKeyPair;
import com.linecorp.armeria.server.Server;
import dev.sandkeeper.server.alert.Attempt;
import dev.sandkeeper.server.transport.TestCertificates;
import java.net.InetAddress;
import java.net.URI;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

// Goal: with TLS, the connection goes to the given address, and the certificate is held against
// the name. The rest is shown by the sender's own tests.
final class HttpReceiversTest {
  private static final Duration TIMEOUT = Duration.ofSeconds(10);

  @TempDir static Path folder;
  private static Server receiver;

  @BeforeAll
  static void startReceiver() throws Exception {
    TestCertificates.make(folder, "named.example");
    receiver =
        Server.builder()
            .https(0)
            .tls(
                TlsKeyPair.of(
                    TestCertificates.key(folder).toFile(),
                    TestCertificates.certificate(folder).toFile()))
            .service(
                "/",
                (_, request) ->
                    HttpResponse.of(request.aggregate().thenApply(_ -> HttpResponse.of(200))))
            .build();
    receiver.start().join();
  }

  @AfterAll
  static void stopReceiver() {
    receiver.stop().join();
  }

  @Test
  void certificateOfTheNameIsGoodWhereverItLeads() throws Exception {
    assertThat(post("named.example", true)).isEqualTo(new Attempt.Taken());
  }

  @Test
  void certificateOfAnotherNameIsRefused() throws Exception {
    assertThat(post("other.example", true)).isInstanceOf(Attempt.Failed.class);
  }

  @Test
  void certificateThatNobodyTrustsIsRefused() throws Exception {
    assertThat(post("named.example", false)).isInstanceOf(Attempt.Failed.class);
  }

  private static Attempt post(String host, boolean trusts) throws InterruptedException {
    try (HttpReceivers receivers =
        trusts
            ? new HttpReceivers(
                TIMEOUT, tls -> tls.trustManager(TestCertificates.certificate(folder).toFile()))
            : new HttpReceivers(TIMEOUT)) {
      return receivers.post(
          URI.create("https://" + host + ":" + receiver.activeLocalPort() + "/"),
          InetAddress.ofLiteral("127.0.0.1"),
          Map.of(),
          "{}");
    }
  }
}
