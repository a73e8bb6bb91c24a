package dev.sandkeeper.server.secret;

/**
 * Asks for a secret to be given to an execution.
 *
 * @param name the secret's
 * @param variable the name of the environment variable that has it
 */
public record SecretReference(String name, String variable) {}
