package dev.sandkeeper.server.transport;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Certificates as {@code deploy/self-signed} makes them, and clients that trust them. */
public final class TestCertificates {
  private static final Path SCRIPT = Path.of("..", "deploy", "self-signed");

  private TestCertificates() {}

  /** Makes {@code certificate.pem} and {@code key.pem} in a folder, and returns the folder. */
  public static Path make(Path folder, String... hosts) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(SCRIPT.toString(), folder.toString()));
    command.addAll(List.of(hosts));
    Process script = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(script.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    if (!script.waitFor(60, TimeUnit.SECONDS) || script.exitValue() != 0) {
      throw new IllegalStateException(output);
    }
    return folder;
  }

  /** Returns the certificate file of a folder. */
  public static Path certificate(Path folder) {
    return folder.resolve("certificate.pem");
  }

  /** Returns the key file of a folder. */
  public static Path key(Path folder) {
    return folder.resolve("key.pem");
  }

  /** Makes a client's context that trusts the certificates in the file and no others. */
  public static SSLContext trusting(Path file) throws IOException, GeneralSecurityException {
    KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
    store.load(null, null);
    try (InputStream input = new BufferedInputStream(Files.newInputStream(file))) {
      for (Certificate certificate :
          CertificateFactory.getInstance("X.509").generateCertificates(input)) {
        store.setCertificateEntry(Integer.toString(store.size()), certificate);
      }
    }
    TrustManagerFactory managers =
        TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    managers.init(store);
    SSLContext context = SSLContext.getInstance("TLS");
    context.init(null, managers.getTrustManagers(), null);
    return context;
  }
}
