package dev.sandkeeper.server.transport;

import com.linecorp.armeria.common.TlsKeyPair;
import com.linecorp.armeria.common.TlsProvider;
import dev.sandkeeper.server.telemetry.Instruments;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Comparator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The certificate that the server shows, with its key: as the files have them now, or had them when
 * they were last good.
 *
 * <p>The files are read again every few seconds, so it does not matter how they are replaced.
 * Connections that are open keep the certificate they began with.
 */
public final class ServerCertificate {
  /** How old what is shown to a new connection may be. */
  static final Duration REFRESH_INTERVAL = Duration.ofSeconds(5);

  private static final Logger logger = LoggerFactory.getLogger(ServerCertificate.class);

  private final CertificateFiles files;
  private final InstantSource clock;
  private volatile TlsKeyPair current;
  private String problem = "";

  private ServerCertificate(CertificateFiles files, InstantSource clock) {
    this.files = files;
    this.clock = clock;
    this.current = files.read();
  }

  /**
   * Reads the files for the first time.
   *
   * @param certificateFile the chain in PEM, the server's own certificate first
   * @param keyFile the key in PEM, without a password
   * @param clock the wall clock, which says when a certificate expires
   * @throws TlsException when they cannot be used; one that has expired only warns
   */
  public static ServerCertificate read(Path certificateFile, Path keyFile, InstantSource clock) {
    ServerCertificate certificate =
        new ServerCertificate(new CertificateFiles(certificateFile, keyFile), clock);
    certificate.warnWhenExpired();
    return certificate;
  }

  /** Returns what hands the certificate to new connections; reads it again until it is closed. */
  TlsProvider provider(Instruments instruments) {
    instruments.observeCertificate(this::untilExpiry);
    return TlsProvider.ofScheduled(() -> refresh(instruments), REFRESH_INTERVAL);
  }

  /** Returns how long every certificate of the chain is good for; negative when one has expired. */
  Duration untilExpiry() {
    return Duration.between(clock.instant(), expireTime());
  }

  /** Reads the files again and returns the certificate to show from now on. */
  TlsKeyPair refresh(Instruments instruments) {
    try {
      TlsKeyPair read = files.read();
      if (!read.equals(current)) {
        current = read;
        instruments.certificateReloaded(true);
        logger
            .atInfo()
            .addKeyValue("file", files.certificateFile())
            .addKeyValue("expireTime", expireTime())
            .log("New connections get the certificate that was put in place");
        warnWhenExpired();
      }
      problem = "";
    } catch (TlsException e) {
      instruments.certificateReloaded(false);
      String found = String.valueOf(e.getMessage());
      if (!found.equals(problem)) {
        problem = found;
        logger
            .atWarn()
            .addKeyValue("problem", found)
            .log("The certificate's files cannot be used; the last good certificate stays");
      }
    }
    return current;
  }

  private void warnWhenExpired() {
    if (untilExpiry().isNegative()) {
      logger
          .atWarn()
          .addKeyValue("file", files.certificateFile())
          .addKeyValue("expireTime", expireTime())
          .log("The certificate has expired; clients will refuse it");
    }
  }

  private Instant expireTime() {
    return current.certificateChain().stream()
        .map(X509Certificate::getNotAfter)
        .min(Comparator.naturalOrder())
        .orElseThrow()
        .toInstant();
  }
}
