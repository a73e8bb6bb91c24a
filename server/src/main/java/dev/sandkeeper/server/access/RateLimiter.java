package dev.sandkeeper.server.access;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * How often each of many may do something: a token bucket for each, which starts full. At most
 * 100,000 buckets are kept; those that are full again, and the least used ones when there are more,
 * are forgotten, which is to say full.
 */
public final class RateLimiter {
  private static final int MAX_BUCKETS = 100_000;

  private final long nanosPerToken;
  private final int burst;
  private final LongSupplier nanoTime;
  private final Cache<String, Bucket> buckets;

  /** Guarded by itself. */
  private static final class Bucket {
    /** When it is full again, in monotonic time; past when it is full. */
    private long fullAt;

    Bucket(long fullAt) {
      this.fullAt = fullAt;
    }
  }

  /**
   * Makes the buckets.
   *
   * @param perSecond how many tokens come into each bucket, at most 1,000,000; 0 for no limit
   * @param burst how many a bucket holds, 1 to 1,000,000
   * @param nanoTime monotonic time
   */
  public RateLimiter(int perSecond, int burst, LongSupplier nanoTime) {
    if (perSecond < 0 || burst < 1) {
      throw new IllegalArgumentException(
          "perSecond, burst: " + perSecond + ", " + burst + " (expected: >= 0, >= 1)");
    }
    this.nanosPerToken = perSecond == 0 ? 0 : TimeUnit.SECONDS.toNanos(1) / perSecond;
    this.burst = burst;
    this.nanoTime = nanoTime;
    this.buckets =
        Caffeine.newBuilder()
            .maximumSize(MAX_BUCKETS)
            .ticker(nanoTime::getAsLong)
            .expireAfterAccess(Duration.ofNanos(burst * nanosPerToken).plusSeconds(1))
            .build();
  }

  /** Takes a token, or returns how long there is none. */
  public Optional<Duration> take(String name) {
    return wait(name, true);
  }

  /** Returns how long there is no token; empty when there is one, which stays. */
  public Optional<Duration> look(String name) {
    return wait(name, false);
  }

  /** Returns how many buckets are kept. */
  long size() {
    buckets.cleanUp();
    return buckets.estimatedSize();
  }

  private Optional<Duration> wait(String name, boolean takes) {
    if (nanosPerToken == 0) {
      return Optional.empty();
    }
    Bucket bucket = buckets.get(name, _ -> new Bucket(nanoTime.getAsLong()));
    synchronized (bucket) {
      long now = nanoTime.getAsLong();
      long untilFull = Math.max(0, bucket.fullAt - now);
      long wait = untilFull - (burst - 1) * nanosPerToken; // for one token to be there
      if (wait > 0) {
        return Optional.of(Duration.ofNanos(wait));
      }
      if (takes) {
        bucket.fullAt = now + untilFull + nanosPerToken;
      }
      return Optional.empty();
    }
  }
}
