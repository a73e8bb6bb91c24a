package dev.sandkeeper.client;

import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * What all streams of a client have in common.
 *
 * @param timeout how long a stream may take in all; empty for no limit
 * @param reattachTimeout how long a broken stream may go without a message until it fails; zero for
 *     never attaching again
 */
record Streams(
    ManagedChannel channel, Optional<Duration> timeout, Duration reattachTimeout, Timing timing) {
  /** Returns the options of a stream that begins now. */
  CallOptions options() {
    return timeout
        .map(t -> CallOptions.DEFAULT.withDeadlineAfter(t.toNanos(), TimeUnit.NANOSECONDS))
        .orElse(CallOptions.DEFAULT);
  }
}
