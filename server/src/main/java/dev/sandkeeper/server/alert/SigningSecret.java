package dev.sandkeeper.server.alert;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.random.RandomGenerator;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * What a webhook's deliveries are signed with, as Standard Webhooks
 * (https://github.com/standard-webhooks/standard-webhooks, its specification) has it. Never
 * printed.
 */
public final class SigningSecret {
  private static final int LENGTH = 32;
  private static final String ALGORITHM = "HmacSHA256";

  private final byte[] key;

  /**
   * Takes the key as it is stored.
   *
   * @param key 24 to 64 bytes
   */
  public SigningSecret(byte[] key) {
    this.key = key.clone();
  }

  /** Makes a fresh one of 32 bytes. */
  static SigningSecret generate(RandomGenerator random) {
    byte[] key = new byte[LENGTH];
    random.nextBytes(key);
    return new SigningSecret(key);
  }

  /** Returns the key, to be stored. */
  public byte[] key() {
    return key.clone();
  }

  /** Returns what receivers are given: {@code whsec_} and the key in Base64. */
  public String text() {
    return "whsec_" + Base64.getEncoder().encodeToString(key);
  }

  /**
   * Returns the header {@code webhook-signature}.
   *
   * @param eventId the header {@code webhook-id}
   * @param timestamp the header {@code webhook-timestamp}, in seconds since 1970
   * @param body the body as it is sent
   */
  String sign(String eventId, long timestamp, String body) {
    try {
      Mac mac = Mac.getInstance(ALGORITHM);
      mac.init(new SecretKeySpec(key, ALGORITHM));
      String signed = eventId + "." + timestamp + "." + body;
      byte[] signature = mac.doFinal(signed.getBytes(StandardCharsets.UTF_8));
      return "v1," + Base64.getEncoder().encodeToString(signature);
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e); // every JDK has it
    }
  }

  @Override
  public String toString() {
    return "SigningSecret[hidden]";
  }
}
