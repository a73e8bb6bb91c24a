package dev.sandkeeper.server.transport;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.linecorp.armeria.common.TlsKeyPair;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.util.Base64;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the server says of certificate files that it cannot use. */
final class CertificateFilesTest {
  @TempDir static Path made;
  @TempDir Path folder;

  private Path certificate;
  private Path key;

  @BeforeAll
  static void make() throws Exception {
    TestCertificates.make(made);
  }

  @BeforeEach
  void copy() throws IOException {
    certificate = Files.copy(TestCertificates.certificate(made), folder.resolve("tls.crt"));
    key = Files.copy(TestCertificates.key(made), folder.resolve("tls.key"));
  }

  @Test
  void madePairIsRead() {
    TlsKeyPair pair = new CertificateFiles(certificate, key).read();

    assertThat(pair.certificateChain()).hasSize(1);
    assertThat(pair.privateKey().getAlgorithm()).isEqualTo("EC");
    assertThat(pair).isEqualTo(new CertificateFiles(certificate, key).read());
  }

  @Test
  void keyIsForItsOwnerAlone() throws IOException {
    assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(key)))
        .isEqualTo("rw-------");
  }

  @Test
  void missingFileIsNamed() throws IOException {
    Files.delete(key);
    assertProblem("server.tls.key-file: " + key + ": there is no such file");
    Files.delete(certificate);
    assertProblem("server.tls.certificate-file: " + certificate + ": there is no such file");
  }

  @Test
  void unreadableFileIsNamed() throws IOException {
    Files.delete(key);
    Files.createSymbolicLink(key, Path.of("/proc/1/environ")); // of another user, whoever runs this

    assertProblem("server.tls.key-file: " + key + ": may not be read");
  }

  @Test
  void folderInPlaceOfAFileIsNamed() throws IOException {
    Files.delete(key);
    Files.createDirectory(key);

    assertProblem("server.tls.key-file: " + key + ": cannot be read");
  }

  @Test
  void whatIsNoPemIsNamed() throws IOException {
    Files.writeString(key, "sk_secret");
    assertProblem("server.tls.key-file: " + key + ": is not a private key in PEM");
    Files.writeString(certificate, "");
    assertProblem("server.tls.certificate-file: " + certificate + ": is not a certificate in PEM");
  }

  @Test
  void filesThatWereSwappedAreNamed() throws IOException {
    Path other = folder.resolve("other");
    Files.move(key, other);
    Files.move(certificate, key);
    Files.move(other, certificate);

    assertProblem("server.tls.certificate-file: " + certificate + ": is not a certificate in PEM");
  }

  @Test
  void halfAFileIsNamed() throws IOException {
    String whole = Files.readString(key);
    Files.writeString(key, whole.substring(0, whole.length() / 2));
    assertProblem("server.tls.key-file: " + key + ": is a private key that cannot be used");
    whole = Files.readString(certificate);
    Files.writeString(certificate, whole.substring(0, whole.length() / 2));
    assertProblem("server.tls.certificate-file: " + certificate + ": holds a broken certificate");
  }

  @Test
  void protectedKeyIsRefused() throws IOException {
    Files.writeString(key, Files.readString(key).replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));

    assertProblem("server.tls.key-file: " + key + ": is protected by a password");
  }

  @Test
  void keyOfAnotherCertificateIsRefused() throws Exception {
    for (String algorithm : new String[] {"EC", "RSA"}) {
      Files.writeString(key, pem(KeyPairGenerator.getInstance(algorithm).generateKeyPair()));

      assertProblem(
          "server.tls.key-file: "
              + key
              + ": is not the key of the first certificate in "
              + certificate);
    }
  }

  @Test
  void keyOfAKindThatTlsHereDoesNotKnowIsRefused() throws Exception {
    Files.writeString(key, pem(KeyPairGenerator.getInstance("Ed25519").generateKeyPair()));

    assertProblem("server.tls.key-file: " + key + ": is a private key that cannot be used");
  }

  private void assertProblem(String beginning) {
    assertThatThrownBy(() -> new CertificateFiles(certificate, key).read())
        .isInstanceOf(TlsException.class)
        .hasMessageStartingWith(beginning);
  }

  private static String pem(KeyPair pair) {
    return "-----BEGIN PRIVATE KEY-----\n"
        + Base64.getMimeEncoder().encodeToString(pair.getPrivate().getEncoded())
        + "\n-----END PRIVATE KEY-----\n";
  }
}
