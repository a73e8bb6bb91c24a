/**
 * The main job, end to end, against a running server: what the quickstart shows.
 *
 * <p>Entry point: {@link dev.sandkeeper.client.tour.Tour}. May import the client and the contract.
 */
@NullMarked
package dev.sandkeeper.client.tour;

import org.jspecify.annotations.NullMarked;
