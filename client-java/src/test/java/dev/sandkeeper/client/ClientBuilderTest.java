package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.sandkeeper.v1.GetQuotaRequest;
import dev.sandkeeper.v1.GetQuotaResponse;
import dev.sandkeeper.v1.QuotaServiceGrpc;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.TlsServerCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ClientBuilderTest {
  private static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  @Test
  void keyIsAskedForAtEveryCall() {
    Iterator<String> keys = List.of("first", "second").iterator();
    try (FakeServer server = new FakeServer(new Quotas());
        SandkeeperClient client = server.client(b -> b.apiKey(keys::next))) {
      client.getQuota();
      client.getQuota();

      assertThat(server.headers())
          .extracting(headers -> headers.get(AUTHORIZATION))
          .containsExactly("Bearer first", "Bearer second");
    }
  }

  @Test
  void withoutAKeyNoneIsSent() {
    try (FakeServer server = new FakeServer(new Quotas());
        SandkeeperClient client =
            server.client(b -> SandkeeperClient.builder("unused").timing(Timing.system()))) {
      client.getQuota();

      assertThat(server.headers()).noneMatch(headers -> headers.containsKey(AUTHORIZATION));
    }
  }

  @Test
  void stubsSendTheKeyToo() {
    try (FakeServer server = new FakeServer(new Quotas());
        SandkeeperClient client = server.client()) {
      QuotaServiceGrpc.QuotaServiceBlockingStub stub =
          client.stub(QuotaServiceGrpc::newBlockingStub);

      assertThat(stub.getQuota(GetQuotaRequest.getDefaultInstance()).getQuotasList()).isEmpty();
      assertThat(server.headers())
          .singleElement()
          .extracting(headers -> headers.get(AUTHORIZATION))
          .isEqualTo("Bearer key-for-tests");
    }
  }

  @Test
  void timesAreChecked() {
    ClientBuilder builder = SandkeeperClient.builder("127.0.0.1:1");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> builder.callTimeout(Duration.ZERO))
        .withMessage("callTimeout: PT0S (expected: > 0)");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> builder.streamTimeout(Duration.ofSeconds(-1)))
        .withMessage("streamTimeout: PT-1S (expected: > 0)");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> builder.reattachTimeout(Duration.ofSeconds(-1)))
        .withMessage("reattachTimeout: PT-1S (expected: >= 0)");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> builder.keepAlive(Duration.ofSeconds(9)))
        .withMessage("keepAlive: PT9S (expected: >= PT10S)");
  }

  @Test
  void plaintextAndCertificatesExcludeEachOther(@TempDir Path folder) {
    ClientBuilder builder =
        SandkeeperClient.builder("127.0.0.1:1").plaintext().trust(folder.resolve("ca.pem"));
    assertThatIllegalArgumentException()
        .isThrownBy(builder::build)
        .withMessageContaining("plaintext: given together with certificates");
  }

  @Test
  void certificateThatCannotBeReadIsNamed(@TempDir Path folder) {
    ClientBuilder builder =
        SandkeeperClient.builder("127.0.0.1:1").trust(folder.resolve("no-such.pem"));
    assertThatIllegalArgumentException()
        .isThrownBy(builder::build)
        .withMessageContaining("no-such.pem");
  }

  @Test
  void trustIsWhatDecides(@TempDir Path folder) throws Exception {
    TestCertificate server = TestCertificate.create(folder, "server");
    TestCertificate other = TestCertificate.create(folder, "other");
    try (TlsServer tls = new TlsServer(server, TlsServerCredentials.ClientAuth.NONE, server)) {
      try (SandkeeperClient client =
          SandkeeperClient.builder(tls.target()).trust(server.certificate()).build()) {
        assertThat(client.getQuota()).isEmpty();
      }
      for (ClientBuilder stranger :
          List.of(
              SandkeeperClient.builder(tls.target()),
              SandkeeperClient.builder(tls.target()).trust(other.certificate()),
              SandkeeperClient.builder(tls.target()).plaintext())) {
        try (SandkeeperClient client = stranger.build()) {
          assertThatThrownBy(client::getQuota)
              .isInstanceOfSatisfying(
                  SandkeeperException.class, e -> assertThat(e.reason()).isEqualTo("UNAVAILABLE"));
        }
      }
    }
  }

  @Test
  void clientShowsItsCertificate(@TempDir Path folder) throws Exception {
    TestCertificate server = TestCertificate.create(folder, "server");
    TestCertificate mine = TestCertificate.create(folder, "mine");
    try (TlsServer tls = new TlsServer(server, TlsServerCredentials.ClientAuth.REQUIRE, mine);
        SandkeeperClient known =
            SandkeeperClient.builder(tls.target())
                .trust(server.certificate())
                .clientCertificate(mine.certificate(), mine.key())
                .build();
        SandkeeperClient unknown =
            SandkeeperClient.builder(tls.target()).trust(server.certificate()).build()) {
      assertThat(known.getQuota()).isEmpty();
      assertThatThrownBy(unknown::getQuota).isInstanceOf(SandkeeperException.class);
    }
  }

  /** A server that speaks TLS. */
  private static final class TlsServer implements AutoCloseable {
    private final Server server;

    TlsServer(
        TestCertificate own, TlsServerCredentials.ClientAuth clientAuth, TestCertificate trusted)
        throws IOException {
      server =
          NettyServerBuilder.forAddress(
                  new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                  TlsServerCredentials.newBuilder()
                      .keyManager(own.certificate().toFile(), own.key().toFile())
                      .trustManager(trusted.certificate().toFile())
                      .clientAuth(clientAuth)
                      .build())
              .addService(new Quotas())
              .build()
              .start();
    }

    String target() {
      return "127.0.0.1:" + server.getPort();
    }

    @Override
    public void close() {
      server.shutdownNow();
    }
  }

  /** Has no limits. */
  private static final class Quotas extends QuotaServiceGrpc.QuotaServiceImplBase {
    @Override
    public void getQuota(GetQuotaRequest request, StreamObserver<GetQuotaResponse> observer) {
      observer.onNext(GetQuotaResponse.getDefaultInstance());
      observer.onCompleted();
    }
  }
}
