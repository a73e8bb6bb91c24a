/**
 * Measures a Sandkeeper server through its client, with the raw primitive beside each figure in the
 * same run.
 *
 * <p>Entry point: {@link dev.sandkeeper.bench.Bench}. Each figure is a {@link
 * dev.sandkeeper.bench.Row}; a new one is a class of its own, named in {@link
 * dev.sandkeeper.bench.Rows}. May import the client, its messages and Jackson; nothing of the
 * server, which it knows as a process and a port.
 */
@NullMarked
package dev.sandkeeper.bench;

import org.jspecify.annotations.NullMarked;
