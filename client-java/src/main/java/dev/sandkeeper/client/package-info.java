/**
 * The Java client of Sandkeeper: calls with types, streams that hold back what the caller has not
 * read, errors that carry their reason.
 *
 * <p>Entry point: {@link dev.sandkeeper.client.SandkeeperClient}. Answers are the generated
 * messages of {@code dev.sandkeeper.v1}. May import that package, gRPC and protobuf; nothing of the
 * server.
 */
@NullMarked
package dev.sandkeeper.client;

import org.jspecify.annotations.NullMarked;
