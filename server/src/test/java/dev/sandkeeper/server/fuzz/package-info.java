/** Messages and requests made from the contract, for the server to answer whatever they say. */
@NullMarked
package dev.sandkeeper.server.fuzz;

import org.jspecify.annotations.NullMarked;
