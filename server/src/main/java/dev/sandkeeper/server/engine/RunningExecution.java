package dev.sandkeeper.server.engine;

import dev.sandkeeper.server.base.ExecutionId;

/**
 * An execution that was started through an earlier engine object.
 *
 * @param id given at the start
 * @param told how many events the earlier listener has taken and kept: calls of its methods before
 *     {@code finished}
 * @param listener told of the others
 */
public record RunningExecution(ExecutionId id, long told, ExecutionListener listener) {}
