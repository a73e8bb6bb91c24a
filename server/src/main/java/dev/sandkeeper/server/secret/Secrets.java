package dev.sandkeeper.server.secret;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.TenantId;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The secrets of tenants, and which of them were given to what sandbox. */
public final class Secrets {
  private static final Logger logger = LoggerFactory.getLogger(Secrets.class);

  /** The most secrets that a tenant may have. */
  static final int MAX_SECRETS = 1_000;

  private static final int MIN_BYTES = 8;
  private static final int MAX_BYTES = 16 * 1024;

  private final Transactions transactions;
  private final SecretRepository repository;
  private final Optional<SecretBox> box;
  private final AuditLog auditLog;
  private final BillingClock clock;

  /**
   * Makes the secrets over their repository.
   *
   * @param box encrypts them; empty when the server has no key for that
   */
  public Secrets(
      Transactions transactions,
      SecretRepository repository,
      Optional<SecretBox> box,
      AuditLog auditLog,
      BillingClock clock) {
    this.transactions = transactions;
    this.repository = repository;
    this.box = box;
    this.auditLog = auditLog;
    this.clock = clock;
  }

  /**
   * Sets a secret.
   *
   * @throws SandkeeperException {@link ErrorReason#INVALID_FIELD} for a value that is too short or
   *     too long or has a NUL, {@link ErrorReason#NO_KEY_FOR_SECRETS}, {@link
   *     ErrorReason#TENANT_NOT_FOUND}, or {@link ErrorReason#TOO_MANY_SECRETS}
   */
  public Secret set(Principal principal, TenantId tenantId, String name, String value) {
    check(value);
    byte[] sealed = requireBox().seal(place(tenantId, name), value);
    Instant now = clock.now();
    return transactions.call(transaction -> {
      Optional<Secret> updated = repository.update(transaction, tenantId, name, sealed, now);
      Secret set = updated.orElseGet(() -> new Secret(tenantId, name, now, now));
      if (updated.isEmpty()) {
        if (repository.count(transaction, tenantId) >= MAX_SECRETS) {
          throw SandkeeperException.of(
                  ErrorReason.TOO_MANY_SECRETS,
                  "The tenant has as many secrets as it may; delete one first.")
              .with("maxSecrets", MAX_SECRETS);
        }
        if (!repository.insert(transaction, set, sealed)) {
          throw SandkeeperException.of(
                  ErrorReason.TENANT_NOT_FOUND, "There is no such tenant; create it first.")
              .with("tenantId", tenantId);
        }
      }
      audit(transaction, principal, tenantId, "set " + name);
      return set;
    });
  }

  /** Returns the secrets of a tenant by name. */
  public List<Secret> list(TenantId tenantId) {
    return repository.list(tenantId);
  }

  /**
   * Deletes a secret.
   *
   * @throws SandkeeperException {@link ErrorReason#SECRET_NOT_FOUND}
   */
  public void delete(Principal principal, TenantId tenantId, String name) {
    transactions.run(transaction -> {
      if (!repository.delete(transaction, tenantId, name)) {
        throw notFound(name);
      }
      audit(transaction, principal, tenantId, "deleted " + name);
    });
  }

  /**
   * Returns values by the variable that is to have each.
   *
   * @throws SandkeeperException {@link ErrorReason#SECRET_NOT_FOUND}, {@link
   *     ErrorReason#NO_KEY_FOR_SECRETS}, or {@link ErrorReason#SECRET_UNREADABLE} when it was
   *     encrypted by another key
   */
  public Map<String, SecretValue> resolve(TenantId tenantId, List<SecretReference> references) {
    Map<String, SecretValue> values = new LinkedHashMap<>();
    for (SecretReference reference : references) {
      String name = reference.name();
      byte[] sealed = repository.find(tenantId, name).orElseThrow(() -> notFound(name));
      String value =
          requireBox()
              .open(place(tenantId, name), sealed)
              .orElseThrow(() ->
                  SandkeeperException.of(
                          ErrorReason.SECRET_UNREADABLE,
                          "The secret was encrypted by another key; set it again.")
                      .with("secret", name));
      values.put(reference.variable(), new SecretValue(name, value));
    }
    return values;
  }

  /** Notes that values are given to a sandbox, before they are. */
  public void give(Transaction transaction, SandboxId sandboxId, Collection<SecretValue> values) {
    SecretBox sealing = requireBox();
    for (SecretValue value : values) {
      repository.give(
          transaction,
          sandboxId,
          new SealedSecret(
              value.name(),
              sealing.fingerprint(value.name(), value.value()),
              sealing.seal(place(sandboxId), value.value())));
    }
  }

  /** Returns the values that were given to a sandbox, as far as the server's key opens them. */
  public List<SecretValue> given(SandboxId sandboxId) {
    List<SecretValue> values = new ArrayList<>();
    for (SealedSecret secret : repository.given(sandboxId)) {
      box.flatMap(opening -> opening.open(place(sandboxId), secret.sealed()))
          .ifPresentOrElse(
              value -> values.add(new SecretValue(secret.name(), value)),
              () ->
                  logger
                      .atError()
                      .addKeyValue("secret", secret.name())
                      .log(
                          "A secret that a sandbox was given cannot be redacted: the key has changed"));
    }
    return values;
  }

  /** Forgets what was given to a sandbox that has ended. */
  public void forget(Transaction transaction, SandboxId sandboxId) {
    repository.forget(transaction, sandboxId);
  }

  private static void check(String value) {
    int bytes = value.strip().getBytes(StandardCharsets.UTF_8).length;
    if (bytes < MIN_BYTES || value.getBytes(StandardCharsets.UTF_8).length > MAX_BYTES) {
      throw SandkeeperException.invalidField(
          "value",
          bytes + " bytes (expected: " + MIN_BYTES + " to " + MAX_BYTES + ", to be redacted)");
    }
    if (value.indexOf('\0') >= 0) {
      throw SandkeeperException.invalidField("value", "with NUL (expected: without)");
    }
  }

  private SecretBox requireBox() {
    return box.orElseThrow(() ->
        SandkeeperException.of(
            ErrorReason.NO_KEY_FOR_SECRETS,
            "The server has no key to encrypt secrets by; its operator sets secrets.key."));
  }

  private static String place(TenantId tenantId, String name) {
    return "secret " + tenantId.value() + " " + name;
  }

  private static String place(SandboxId sandboxId) {
    return "sandbox " + sandboxId.value();
  }

  private static SandkeeperException notFound(String name) {
    return SandkeeperException.of(
            ErrorReason.SECRET_NOT_FOUND, "The tenant has no secret of that name.")
        .with("secret", name);
  }

  private void audit(
      Transaction transaction, Principal principal, TenantId tenantId, String detail) {
    auditLog.append(
        transaction,
        AuditEntry.of(tenantId, clock.now(), AuditOperation.SECRET_CHANGE)
            .by(principal)
            .withDetail(detail));
  }
}
