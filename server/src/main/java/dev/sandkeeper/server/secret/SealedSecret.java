package dev.sandkeeper.server.secret;

/**
 * A secret that was given to a sandbox, as it is stored.
 *
 * @param name the name it had
 * @param fingerprint tells it from others of the sandbox; 32 bytes
 * @param sealed its value, encrypted
 */
public record SealedSecret(String name, byte[] fingerprint, byte[] sealed) {}
