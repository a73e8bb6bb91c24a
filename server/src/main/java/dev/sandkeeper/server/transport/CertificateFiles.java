package dev.sandkeeper.server.transport;

import com.linecorp.armeria.common.TlsKeyPair;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.Signature;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;

/**
 * A certificate chain and its private key as two files.
 *
 * @param certificateFile the chain in PEM, the server's own certificate first
 * @param keyFile the key in PEM, without a password
 */
record CertificateFiles(Path certificateFile, Path keyFile) {
  private static final String CERTIFICATE_KEY = "server.tls.certificate-file";
  private static final String KEY_KEY = "server.tls.key-file";
  private static final byte[] SAMPLE = "signed and verified".getBytes(StandardCharsets.UTF_8);

  /**
   * Reads both as they are now.
   *
   * @throws TlsException when one is missing, cannot be read or is not what it should be, or when
   *     the two do not belong together
   */
  TlsKeyPair read() {
    byte[] chain = read(CERTIFICATE_KEY, certificateFile);
    byte[] key = read(KEY_KEY, keyFile);
    checkChain(chain);
    TlsKeyPair pair = parse(chain, key);
    if (!belongTogether(pair)) {
      throw problem(
          KEY_KEY, keyFile, "is not the key of the first certificate in " + certificateFile);
    }
    return pair;
  }

  private void checkChain(byte[] chain) {
    String expected = " (expected: -----BEGIN CERTIFICATE-----, the server's own first)";
    if (!contains(chain, "-----BEGIN CERTIFICATE-----")) {
      throw problem(CERTIFICATE_KEY, certificateFile, "is not a certificate in PEM" + expected);
    }
    try {
      CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(chain));
    } catch (CertificateException e) {
      throw problem(CERTIFICATE_KEY, certificateFile, "holds a broken certificate" + expected);
    }
  }

  private TlsKeyPair parse(byte[] chain, byte[] key) {
    String expected =
        " (expected: RSA or EC, PKCS#8 without a password, -----BEGIN PRIVATE KEY-----)";
    if (contains(key, "-----BEGIN ENCRYPTED PRIVATE KEY-----")) {
      throw problem(KEY_KEY, keyFile, "is protected by a password" + expected);
    }
    if (!contains(key, "PRIVATE KEY-----")) {
      throw problem(KEY_KEY, keyFile, "is not a private key in PEM" + expected);
    }
    try {
      return TlsKeyPair.of(new ByteArrayInputStream(key), new ByteArrayInputStream(chain));
    } catch (IllegalArgumentException e) {
      throw problem(KEY_KEY, keyFile, "is a private key that cannot be used" + expected);
    }
  }

  /** Signs with the key and verifies with the certificate. */
  private static boolean belongTogether(TlsKeyPair pair) {
    boolean isRsa = pair.privateKey().getAlgorithm().equals("RSA");
    try {
      Signature signature = Signature.getInstance(isRsa ? "SHA256withRSA" : "SHA256withECDSA");
      signature.initSign(pair.privateKey());
      signature.update(SAMPLE);
      byte[] signed = signature.sign();
      signature.initVerify(pair.certificateChain().getFirst().getPublicKey());
      signature.update(SAMPLE);
      return signature.verify(signed);
    } catch (GeneralSecurityException e) {
      return false; // keys of different kinds
    }
  }

  private static byte[] read(String key, Path file) {
    try {
      return Files.readAllBytes(file);
    } catch (NoSuchFileException e) {
      throw problem(key, file, "there is no such file");
    } catch (AccessDeniedException e) {
      throw problem(key, file, "may not be read by the user of this server");
    } catch (IOException e) {
      throw problem(key, file, "cannot be read: " + e.getMessage());
    }
  }

  private static boolean contains(byte[] content, String text) {
    return new String(content, StandardCharsets.ISO_8859_1).contains(text);
  }

  private static TlsException problem(String key, Path file, String problem) {
    return new TlsException(key + ": " + file + ": " + problem);
  }
}
