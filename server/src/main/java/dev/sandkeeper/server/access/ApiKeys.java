package dev.sandkeeper.server.access;

import com.github.benmanes.caffeine.cache.Cache;
import com.github.benmanes.caffeine.cache.Caffeine;
import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Tenants and their API keys.
 *
 * <p>A secret is {@code sk_} and 40 characters of {@code [a-z0-9]}, 206 bits of chance, so a plain
 * SHA-256 of it is as good as any slow hash. It is shown once and never stored.
 *
 * <p>A key that was looked up is known for a second, so that not every call asks the database. One
 * that is revoked through another server works at most that much longer here.
 */
public final class ApiKeys {
  private static final String SECRET_PREFIX = "sk_";
  private static final int MAX_KNOWN = 10_000;
  private static final Duration KNOWN_FOR = Duration.ofSeconds(1);
  private static final Duration TRUSTED_FOR = Duration.ofHours(1);

  private final Transactions transactions;
  private final ApiKeyRepository repository;
  private final AuditLog auditLog;
  private final BillingClock clock;
  private final IdGenerator ids;
  private final CallRates rates;

  /** Keys by the hash of their secret, as they were when they were looked up. */
  private final Cache<ByteBuffer, ApiKey> known =
      Caffeine.newBuilder().maximumSize(MAX_KNOWN).expireAfterWrite(KNOWN_FOR).build();

  /** Keys by their ids, in the same way. */
  private final Cache<String, ApiKey> knownById =
      Caffeine.newBuilder().maximumSize(MAX_KNOWN).expireAfterWrite(KNOWN_FOR).build();

  /**
   * Hashes of secrets that worked within the last hour: wrong keys from the same address, which may
   * be that of a proxy, do not keep their owners out.
   */
  private final Cache<ByteBuffer, Boolean> trusted =
      Caffeine.newBuilder().maximumSize(MAX_KNOWN).expireAfterAccess(TRUSTED_FOR).build();

  /**
   * A key that was just made.
   *
   * @param apiKey the key
   * @param secret what callers send; not to be had again
   */
  public record Created(ApiKey apiKey, String secret) {
    @Override
    public String toString() {
      return "Created[apiKey=" + apiKey + ", secret=hidden]";
    }
  }

  /** Makes the keys over their repository. */
  public ApiKeys(
      Transactions transactions,
      ApiKeyRepository repository,
      AuditLog auditLog,
      BillingClock clock,
      IdGenerator ids,
      CallRates rates) {
    this.transactions = transactions;
    this.repository = repository;
    this.auditLog = auditLog;
    this.clock = clock;
    this.ids = ids;
    this.rates = rates;
  }

  /**
   * Returns who calls.
   *
   * @param secret what the caller sent
   * @param origin where the call came from
   * @throws SandkeeperException {@link ErrorReason#INVALID_CREDENTIALS} when the key is not known,
   *     has expired or was revoked; which of these is not told; {@link ErrorReason#RATE_LIMITED}
   *     when it makes calls too often, or too many calls from the same address brought no key that
   *     works
   */
  public Principal authenticate(String secret, Principal.Origin origin) {
    byte[] secretHash = hash(secret);
    ByteBuffer name = ByteBuffer.wrap(secretHash);
    if (trusted.getIfPresent(name) == null) {
      rates.stranger(origin.remoteAddress());
    }
    Optional<ApiKey> found = find(secretHash).filter(known -> known.worksAt(clock.now()));
    if (found.isEmpty()) {
      trusted.invalidate(name);
      rates.failure(origin.remoteAddress());
      throw SandkeeperException.of(
          ErrorReason.INVALID_CREDENTIALS, "The API key is not known, has expired or was revoked.");
    }
    ApiKey key = found.get();
    trusted.put(name, true);
    rates.call(key.keyId());
    return principal(key, origin);
  }

  /**
   * Returns how a call is refused that brought no key. It counts like one that brought a wrong one.
   *
   * @throws SandkeeperException {@link ErrorReason#RATE_LIMITED} when there are too many from the
   *     address
   */
  public SandkeeperException withoutKey(Principal.Origin origin) {
    countFailure(origin);
    return SandkeeperException.of(
        ErrorReason.INVALID_CREDENTIALS,
        "No API key came; send it in the header authorization: Bearer KEY.");
  }

  /**
   * Counts a call that brought something which is not good, like one that brought a wrong key.
   *
   * @throws SandkeeperException {@link ErrorReason#RATE_LIMITED} when there are too many from the
   *     address
   */
  public void countFailure(Principal.Origin origin) {
    rates.stranger(origin.remoteAddress());
    rates.failure(origin.remoteAddress());
  }

  /**
   * Returns on whose behalf somebody calls who has shown something that a key vouches for, not the
   * key itself. It does not count as a call of the key.
   *
   * @param keyId the key
   * @param origin where the call came from
   * @throws SandkeeperException {@link ErrorReason#INVALID_CREDENTIALS} when the key has expired or
   *     was revoked
   */
  public Principal authenticateById(String keyId, Principal.Origin origin) {
    return principal(
        findById(keyId)
            .filter(found -> found.worksAt(clock.now()))
            .orElseThrow(() ->
                SandkeeperException.of(
                    ErrorReason.INVALID_CREDENTIALS,
                    "The API key behind this has expired or was revoked.")),
        origin);
  }

  private static Principal principal(ApiKey key, Principal.Origin origin) {
    return new Principal(key.tenantId(), key.keyId(), key.scopes(), key.agentId(), origin);
  }

  private Optional<ApiKey> findById(String keyId) {
    Optional<ApiKey> seen = Optional.ofNullable(knownById.getIfPresent(keyId));
    if (seen.isPresent()) {
      return seen;
    }
    Optional<ApiKey> found = repository.find(Set.of(keyId)).stream().findFirst();
    found.ifPresent(key -> knownById.put(keyId, key));
    return found;
  }

  private Optional<ApiKey> find(byte[] secretHash) {
    ByteBuffer name = ByteBuffer.wrap(secretHash);
    Optional<ApiKey> seen = Optional.ofNullable(known.getIfPresent(name));
    if (seen.isPresent()) {
      return seen;
    }
    Optional<ApiKey> found = repository.findBySecretHash(secretHash);
    found.ifPresent(key -> known.put(name, key));
    return found;
  }

  /** Returns those of the keys that work now. */
  public Set<String> working(Set<String> keyIds) {
    Instant now = clock.now();
    return repository.find(keyIds).stream()
        .filter(key -> key.worksAt(now))
        .map(ApiKey::keyId)
        .collect(Collectors.toSet());
  }

  /** Adds a tenant unless it is there. */
  public void createTenant(Principal principal, TenantId tenantId) {
    transactions.run(transaction -> {
      if (repository.insertTenant(transaction, tenantId, clock.now())) {
        audit(transaction, principal, tenantId, AuditOperation.TENANT_CHANGE, "created tenant");
      }
    });
  }

  /**
   * Makes a key.
   *
   * @param expireTime when it stops working, in the future; empty for never
   * @throws SandkeeperException {@link ErrorReason#TENANT_NOT_FOUND}, or {@link
   *     ErrorReason#INVALID_FIELD} for a time that is past
   */
  public Created create(
      Principal principal,
      TenantId tenantId,
      String name,
      Set<Scope> scopes,
      Optional<String> agentId,
      Optional<Instant> expireTime) {
    Instant now = clock.now();
    if (expireTime.isPresent() && !expireTime.get().isAfter(now)) {
      throw SandkeeperException.invalidField(
          "expire_time", expireTime.get() + " (expected: later than now, " + now + ")");
    }
    ApiKey key =
        new ApiKey(ids.next(), tenantId, name, scopes, agentId, now, expireTime, Optional.empty());
    String secret = SECRET_PREFIX + ids.next() + ids.next();
    transactions.run(transaction -> {
      if (!repository.tenantExists(transaction, tenantId)) {
        throw SandkeeperException.of(
                ErrorReason.TENANT_NOT_FOUND, "There is no such tenant; create it first.")
            .with("tenantId", tenantId);
      }
      repository.insert(transaction, key, hash(secret));
      audit(
          transaction,
          principal,
          tenantId,
          AuditOperation.KEY_CHANGE,
          "created " + key.keyId() + " with " + scopes);
    });
    return new Created(key, secret);
  }

  /** Returns the keys of a tenant, newest first. */
  public List<ApiKey> list(TenantId tenantId) {
    return repository.list(tenantId);
  }

  /**
   * Revokes a key and returns it; one that is revoked stays as it is.
   *
   * @throws SandkeeperException {@link ErrorReason#API_KEY_NOT_FOUND}
   */
  public ApiKey revoke(Principal principal, String keyId) {
    ApiKey revoked =
        transactions.call(transaction -> {
          ApiKey key =
              repository
                  .revoke(transaction, keyId, clock.now())
                  .orElseThrow(() ->
                      SandkeeperException.of(
                              ErrorReason.API_KEY_NOT_FOUND, "There is no such API key.")
                          .with("keyId", keyId));
          audit(
              transaction,
              principal,
              key.tenantId(),
              AuditOperation.KEY_CHANGE,
              "revoked " + keyId);
          return key;
        });
    known.invalidateAll();
    knownById.invalidateAll();
    return revoked;
  }

  private void audit(
      Transaction transaction,
      Principal principal,
      TenantId tenantId,
      AuditOperation operation,
      String detail) {
    auditLog.append(
        transaction,
        AuditEntry.of(tenantId, clock.now(), operation).by(principal).withDetail(detail));
  }

  private static byte[] hash(String secret) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(secret.getBytes(StandardCharsets.UTF_8));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every JDK has it
    }
  }
}
