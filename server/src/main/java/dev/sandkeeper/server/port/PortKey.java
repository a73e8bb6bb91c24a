package dev.sandkeeper.server.port;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.time.Instant;
import java.util.Base64;
import java.util.random.RandomGenerator;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** What the URLs of ports are signed with. Its secret is never printed. */
public final class PortKey {
  private static final int SECRET_BYTES = 32;
  private static final String ALGORITHM = "HmacSHA256";

  private final String keyId;
  private final byte[] secret;
  private final Instant createTime;

  /**
   * Takes a key as it is stored.
   *
   * @param keyId 20 characters of {@code [a-z0-9]}
   * @param secret 32 bytes
   * @param createTime when it was made
   */
  public PortKey(String keyId, byte[] secret, Instant createTime) {
    this.keyId = keyId;
    this.secret = secret.clone();
    this.createTime = createTime;
  }

  static PortKey generate(String keyId, RandomGenerator random, Instant createTime) {
    byte[] secret = new byte[SECRET_BYTES];
    random.nextBytes(secret);
    return new PortKey(keyId, secret, createTime);
  }

  /** Returns its name. */
  public String keyId() {
    return keyId;
  }

  /** Returns its secret, to be stored. */
  public byte[] secret() {
    return secret.clone();
  }

  /** Returns when it was made. */
  public Instant createTime() {
    return createTime;
  }

  /** Returns the HMAC-SHA-256 of a text, in Base64 for URLs: 43 characters. */
  String sign(String text) {
    try {
      Mac mac = Mac.getInstance(ALGORITHM);
      mac.init(new SecretKeySpec(secret, ALGORITHM));
      return Base64.getUrlEncoder()
          .withoutPadding()
          .encodeToString(mac.doFinal(text.getBytes(StandardCharsets.UTF_8)));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e); // every JDK has it
    }
  }

  @Override
  public String toString() {
    return "PortKey[keyId=" + keyId + ", secret=hidden]";
  }
}
