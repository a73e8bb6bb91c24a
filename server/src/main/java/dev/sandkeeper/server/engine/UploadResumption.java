package dev.sandkeeper.server.engine;

import java.time.Duration;
import java.util.UUID;

/**
 * Where an upload goes on that may break and be continued.
 *
 * @param uploadId which one
 * @param offset behind how many of its bytes; what has come behind them is dropped
 * @param most how many uploads of a sandbox may wait to be continued, this one included
 * @param keep for how long after its last byte an upload waits
 */
public record UploadResumption(UUID uploadId, long offset, int most, Duration keep) {}
