/**
 * The same contract for those who speak plain HTTP: unary calls as JSON, executions as server-sent
 * events, files as raw bytes, and the document that describes it all. A face over the same domain;
 * nothing is decided here.
 *
 * <p>May import {@code api}, whose checks and translations it shares, and what that may import.
 * Entry point: {@link dev.sandkeeper.server.http.HttpFace}.
 */
@NullMarked
package dev.sandkeeper.server.http;

import org.jspecify.annotations.NullMarked;
