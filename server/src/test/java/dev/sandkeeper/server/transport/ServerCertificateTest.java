package dev.sandkeeper.server.transport;

import static org.assertj.core.api.Assertions.assertThat;

import com.linecorp.armeria.common.TlsKeyPair;
import dev.sandkeeper.server.telemetry.Instruments;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which certificate is shown while its files change. */
final class ServerCertificateTest {
  @TempDir static Path first;
  @TempDir static Path second;
  @TempDir Path folder;

  private final Instruments instruments = Instruments.none();
  private ServerCertificate certificate;
  private TlsKeyPair atStart;

  @BeforeAll
  static void make() throws Exception {
    TestCertificates.make(first);
    TestCertificates.make(second);
  }

  @BeforeEach
  void read() throws IOException {
    replaceCertificate(first);
    replaceKey(first);
    certificate = at(Instant.now());
    atStart = certificate.refresh(instruments);
  }

  @Test
  void renewedPairIsTakenUp() throws IOException {
    replaceCertificate(second);
    replaceKey(second);

    TlsKeyPair renewed = certificate.refresh(instruments);

    assertThat(renewed).isNotEqualTo(atStart);
    assertThat(renewed).isEqualTo(filesOf(second).read());
  }

  @Test
  void halfRenewedPairChangesNothingUntilItIsWhole() throws IOException {
    replaceCertificate(second);
    assertThat(certificate.refresh(instruments)).isSameAs(atStart);

    replaceKey(second);
    assertThat(certificate.refresh(instruments)).isEqualTo(filesOf(second).read());
  }

  @Test
  void brokenAndMissingFilesChangeNothing() throws IOException {
    Files.writeString(TestCertificates.certificate(folder), "-----BEGIN CERTIFICATE-----\nMI");
    assertThat(certificate.refresh(instruments)).isSameAs(atStart);
    Files.delete(TestCertificates.key(folder));
    assertThat(certificate.refresh(instruments)).isSameAs(atStart);
  }

  @Test
  void timeUntilExpiryIsTold() throws IOException {
    Instant end = atStart.certificateChain().getFirst().getNotAfter().toInstant();

    assertThat(at(end.minusSeconds(90)).untilExpiry()).isEqualTo(Duration.ofSeconds(90));
    assertThat(at(end.plusSeconds(90)).untilExpiry()).isEqualTo(Duration.ofSeconds(-90));
  }

  private ServerCertificate at(Instant now) {
    return ServerCertificate.read(
        TestCertificates.certificate(folder),
        TestCertificates.key(folder),
        InstantSource.fixed(now));
  }

  private void replaceCertificate(Path by) throws IOException {
    replace(TestCertificates.certificate(by), TestCertificates.certificate(folder));
  }

  private void replaceKey(Path by) throws IOException {
    replace(TestCertificates.key(by), TestCertificates.key(folder));
  }

  private static void replace(Path from, Path to) throws IOException {
    Files.copy(from, to, StandardCopyOption.REPLACE_EXISTING);
  }

  private static CertificateFiles filesOf(Path folder) {
    return new CertificateFiles(TestCertificates.certificate(folder), TestCertificates.key(folder));
  }
}
