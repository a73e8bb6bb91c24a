/**
 * An application of the client, and of nothing else of Sandkeeper, that follows the scenario of all
 * clients. Entry point: {@link dev.sandkeeper.scenario.Scenario}.
 */
@NullMarked
package dev.sandkeeper.scenario;

import org.jspecify.annotations.NullMarked;
