package dev.sandkeeper.server.ledger;

import dev.sandkeeper.server.base.Page;
import dev.sandkeeper.server.base.Transaction;
import java.time.Instant;
import java.util.Optional;

/** Keeps limits and their counters. */
public interface LimitRepository {

  /** What became of a limit that was to be set. */
  sealed interface Setting {
    /** It is set. */
    record Set(Limit limit) implements Setting {}

    /** There is one for the same scope, resource and period, in another zone. */
    record OtherZone(String limitId, String zone) implements Setting {}

    /** The database does not know the zone. */
    record UnknownZone() implements Setting {}

    /** The tenant has as many limits as it may have. */
    record TooMany() implements Setting {}

    /** There is no such tenant. */
    record NoTenant() implements Setting {}
  }

  /**
   * Sets a limit, or changes the amount, enforcement and thresholds of one that is set.
   *
   * @param maxLimits how many a tenant may have
   */
  Setting set(Transaction transaction, LimitSpec spec, long maxLimits, Instant now);

  /** Deletes a limit; says whether there was one. */
  boolean delete(Transaction transaction, String limitId);

  /** Returns a limit. */
  Optional<Limit> find(String limitId);

  /** Returns a page of limits, newest first. */
  Page<Limit> list(LimitQuery query, Page.Request page);

  /** Returns what is left of each limit of a page, newest first. */
  Page<QuotaStatus> quota(LimitQuery query, Page.Request page, Instant now);
}
