/**
 * What runs code: the {@link dev.sandkeeper.server.engine.SandboxEngine} port and its values.
 *
 * <p>Domain-neutral: knows nothing of tenants, money or the wire. May import {@code server.base}
 * only; adapters live in sub-packages and are named by the composition root alone.
 */
@NullMarked
package dev.sandkeeper.server.engine;

import org.jspecify.annotations.NullMarked;
