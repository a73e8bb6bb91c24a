/**
 * The configuration: read once at the start from one commented file, a file of the operator's and
 * the environment, and checked as a whole.
 *
 * <p>Imports nothing of the other rooms; the composition root hands each room the values it needs.
 * Entry point: {@link dev.sandkeeper.server.config.ConfigurationLoader}.
 */
@NullMarked
package dev.sandkeeper.server.config;

import org.jspecify.annotations.NullMarked;
