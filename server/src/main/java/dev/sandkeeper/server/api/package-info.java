/**
 * The front door: the gRPC services, one class each. They check, authorise, translate and delegate;
 * nothing is decided here.
 *
 * <p>May import every room but {@code store} and the engines' adapters. Entry point: {@link
 * dev.sandkeeper.server.api.Api}.
 */
@NullMarked
package dev.sandkeeper.server.api;

import org.jspecify.annotations.NullMarked;
