package dev.sandkeeper.server.audit;

/**
 * A recorded operation, sealed into its tenant's chain.
 *
 * @param sequence its number in the chain, from 1 without gaps
 * @param previousHash the hash of the event before, 32 bytes; zero for the first
 * @param hash SHA-256 over the hash before and all fields, 32 bytes
 * @param entry what was recorded
 */
public record AuditEvent(long sequence, byte[] previousHash, byte[] hash, AuditEntry entry) {}
