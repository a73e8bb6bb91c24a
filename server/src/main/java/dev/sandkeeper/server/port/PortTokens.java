package dev.sandkeeper.server.port;

import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Transactions;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.random.RandomGenerator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Tokens for one port of one sandbox, which say on whose behalf and until when, and are signed.
 *
 * <p>A token is {@code KEY.EXPIRY.APIKEY.MAC}: which key signed it, its end in seconds since 1970,
 * the API key that asked for it, and the MAC over all of these, the sandbox and the port. The
 * tenant is the API key's.
 */
final class PortTokens {
  /** How long a URL may be good. */
  static final Duration MAX_VALIDITY = Duration.ofHours(24);

  /** How long a key signs. */
  static final Duration KEY_AGE = Duration.ofDays(30);

  /** However many tokens come by keys that are not known, the database is asked once in so long. */
  private static final Duration LOOK_INTERVAL = Duration.ofSeconds(1);

  private static final Pattern TOKEN =
      Pattern.compile("(([a-z0-9]{20})\\.([0-9]{1,11})\\.([a-z0-9]{20}))\\.[A-Za-z0-9_-]{43}");

  private final Transactions transactions;
  private final PortKeyRepository repository;
  private final BillingClock clock;
  private final IdGenerator ids;
  private final RandomGenerator random;

  /** The keys, newest first, as they were when they were last looked at. */
  private volatile List<PortKey> known = List.of();

  private volatile Instant lookTime = Instant.MIN;

  PortTokens(
      Transactions transactions,
      PortKeyRepository repository,
      BillingClock clock,
      IdGenerator ids,
      RandomGenerator random) {
    this.transactions = transactions;
    this.repository = repository;
    this.clock = clock;
    this.ids = ids;
    this.random = random;
  }

  /**
   * What a good token says.
   *
   * @param apiKeyId the API key that asked for it
   * @param expireTime when it stops working
   */
  record Grant(String apiKeyId, Instant expireTime) {}

  /** Makes a token, whose end is in whole seconds. */
  String issue(PortAddress address, Grant grant) {
    PortKey key = signingKey();
    String head = head(key, grant.expireTime().getEpochSecond(), grant.apiKeyId());
    return head + "." + key.sign(signed(head, address));
  }

  /** Returns what a token says; empty when it is not good for that port, or not any more. */
  Optional<Grant> verify(String token, PortAddress address) {
    Matcher matcher = TOKEN.matcher(token);
    if (!matcher.matches()) {
      return Optional.empty();
    }
    Instant expireTime = Instant.ofEpochSecond(Long.parseLong(matcher.group(3)));
    Optional<PortKey> key =
        clock.now().isBefore(expireTime) ? find(matcher.group(2)) : Optional.empty();
    String head = matcher.group(1);
    return key.filter(found -> isSame(token, head + "." + found.sign(signed(head, address))))
        .map(_ -> new Grant(matcher.group(4), expireTime));
  }

  private static String head(PortKey key, long expirySeconds, String apiKeyId) {
    return key.keyId() + "." + expirySeconds + "." + apiKeyId;
  }

  private static String signed(String head, PortAddress address) {
    return "sandkeeper port 1\n" + head + "\n" + address.sandboxId() + "\n" + address.port();
  }

  /** Takes as long wherever they differ. */
  private static boolean isSame(String token, String expected) {
    return MessageDigest.isEqual(
        token.getBytes(StandardCharsets.US_ASCII), expected.getBytes(StandardCharsets.US_ASCII));
  }

  private Optional<PortKey> find(String keyId) {
    Optional<PortKey> found = findKnown(keyId);
    Instant now = clock.now();
    if (found.isEmpty() && !now.isBefore(lookTime.plus(LOOK_INTERVAL))) {
      look(now);
      return findKnown(keyId);
    }
    return found;
  }

  private Optional<PortKey> findKnown(String keyId) {
    return known.stream().filter(key -> key.keyId().equals(keyId)).findFirst();
  }

  private void look(Instant now) {
    known = repository.list();
    lookTime = now;
  }

  private PortKey signingKey() {
    Instant now = clock.now();
    if (newest(known, now).isEmpty()) {
      look(now);
    }
    return newest(known, now).orElseGet(() -> rotate(now));
  }

  private PortKey rotate(Instant now) {
    PortKey signing =
        transactions.call(transaction -> {
          Optional<PortKey> other = newest(repository.lockedList(transaction), now);
          if (other.isPresent()) {
            return other.get();
          }
          PortKey key = PortKey.generate(ids.next(), random, now);
          repository.insert(transaction, key);
          repository.deleteOlderThan(transaction, now.minus(KEY_AGE).minus(MAX_VALIDITY));
          return key;
        });
    look(now);
    return signing;
  }

  /** Returns the newest key unless it is too old to sign. */
  private static Optional<PortKey> newest(List<PortKey> keys, Instant now) {
    return keys.stream().findFirst().filter(key -> now.isBefore(key.createTime().plus(KEY_AGE)));
  }
}
