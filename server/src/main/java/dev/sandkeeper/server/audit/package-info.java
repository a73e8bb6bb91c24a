/**
 * The record of who did what: one chain of hashes per tenant, so that a change or a gap is seen.
 *
 * <p>May import {@code base}. Entry point: {@link dev.sandkeeper.server.audit.AuditLog}.
 */
@NullMarked
package dev.sandkeeper.server.audit;

import org.jspecify.annotations.NullMarked;
