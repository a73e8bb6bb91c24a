/**
 * Policies: which commands and code may be run, as far as can be told from their text.
 *
 * <p>May import {@code engine}. Entry point: {@link dev.sandkeeper.server.policy.CommandPolicies}.
 */
@NullMarked
package dev.sandkeeper.server.policy;

import org.jspecify.annotations.NullMarked;
