package dev.sandkeeper.server.secret;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.Base64;
import java.util.Optional;
import java.util.random.RandomGenerator;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/**
 * Encrypts secrets by AES-256-GCM (NIST SP 800-38D) with a fresh nonce of 96 random bits each, of
 * which 2^32 may be used with one key. Never printed.
 */
public final class SecretBox {
  /** The length of a key, in bytes. */
  public static final int KEY_BYTES = 32;

  private static final int NONCE_BYTES = 12;
  private static final int TAG_BITS = 128;
  private static final String CIPHER = "AES/GCM/NoPadding";
  private static final String MAC = "HmacSHA256";

  private final SecretKeySpec sealing;
  private final SecretKeySpec fingerprinting;
  private final RandomGenerator random;

  /**
   * Takes the key.
   *
   * @param key Base64 of {@link #KEY_BYTES} bytes
   * @param random makes nonces; in production a {@code SecureRandom}
   * @throws IllegalArgumentException for another key
   */
  public SecretBox(String key, RandomGenerator random) {
    byte[] bytes = Base64.getDecoder().decode(key);
    if (bytes.length != KEY_BYTES) {
      throw new IllegalArgumentException(
          "a key of " + bytes.length + " bytes (expected: " + KEY_BYTES + ")");
    }
    this.sealing = new SecretKeySpec(derive(bytes, "seal"), "AES");
    this.fingerprinting = new SecretKeySpec(derive(bytes, "fingerprint"), MAC);
    this.random = random;
  }

  /**
   * Encrypts a value.
   *
   * @param place where it belongs; nothing else opens it
   * @return nonce, cipher text and tag
   */
  byte[] seal(String place, String value) {
    byte[] nonce = new byte[NONCE_BYTES];
    random.nextBytes(nonce);
    try {
      Cipher cipher = Cipher.getInstance(CIPHER);
      cipher.init(Cipher.ENCRYPT_MODE, sealing, new GCMParameterSpec(TAG_BITS, nonce));
      cipher.updateAAD(place.getBytes(StandardCharsets.UTF_8));
      byte[] text = cipher.doFinal(value.getBytes(StandardCharsets.UTF_8));
      return ByteBuffer.allocate(NONCE_BYTES + text.length).put(nonce).put(text).array();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e); // every JDK has it
    }
  }

  /** Decrypts a value; empty when it was encrypted by another key, or belongs somewhere else. */
  Optional<String> open(String place, byte[] sealed) {
    try {
      Cipher cipher = Cipher.getInstance(CIPHER);
      cipher.init(
          Cipher.DECRYPT_MODE, sealing, new GCMParameterSpec(TAG_BITS, sealed, 0, NONCE_BYTES));
      cipher.updateAAD(place.getBytes(StandardCharsets.UTF_8));
      return Optional.of(
          new String(
              cipher.doFinal(sealed, NONCE_BYTES, sealed.length - NONCE_BYTES),
              StandardCharsets.UTF_8));
    } catch (AEADBadTagException _) {
      return Optional.empty();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e); // every JDK has it
    }
  }

  /** Returns 32 bytes by which a value of a name is known again, by who has the key. */
  byte[] fingerprint(String name, String value) {
    return mac(fingerprinting, name + "=" + value);
  }

  private static byte[] derive(byte[] key, String purpose) {
    return mac(new SecretKeySpec(key, MAC), "sandkeeper secrets: " + purpose);
  }

  private static byte[] mac(SecretKeySpec key, String text) {
    try {
      Mac mac = Mac.getInstance(MAC);
      mac.init(key);
      return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException(e); // every JDK has it
    }
  }
}
