package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.audit.AuditEntry;
import dev.sandkeeper.server.audit.AuditLog;
import dev.sandkeeper.server.audit.AuditOperation;
import dev.sandkeeper.server.base.BillingClock;
import dev.sandkeeper.server.base.ErrorReason;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.base.Transaction;
import dev.sandkeeper.server.base.Transactions;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * What sandboxes can be made from. No change touches a sandbox that there is: each has its own copy
 * of what matters to it.
 */
public final class Templates {
  /** The most templates that there may be. */
  static final int MAX_TEMPLATES = 1_000;

  private final Transactions transactions;
  private final TemplateRepository repository;
  private final EngineRouting routing;
  private final AuditLog auditLog;
  private final BillingClock clock;

  /** Makes the templates over their repository. */
  public Templates(
      Transactions transactions,
      TemplateRepository repository,
      EngineRouting routing,
      AuditLog auditLog,
      BillingClock clock) {
    this.transactions = transactions;
    this.repository = repository;
    this.routing = routing;
    this.auditLog = auditLog;
    this.clock = clock;
  }

  /**
   * Adds a template.
   *
   * @throws SandkeeperException {@link ErrorReason#INVALID_FIELD} for what does not fit together,
   *     {@link ErrorReason#ENGINE_MISSING}, {@link ErrorReason#RUNTIME_MISSING}, {@link
   *     ErrorReason#ALREADY_EXISTS}, or {@link ErrorReason#TOO_MANY_TEMPLATES}
   */
  public Template create(Principal principal, Template template) {
    check(template);
    transactions.run(transaction -> {
      int count = repository.count(transaction);
      if (!repository.insert(transaction, template)) {
        throw SandkeeperException.of(
                ErrorReason.ALREADY_EXISTS, "There is a template of that name; change that one.")
            .with("template", template.name());
      }
      if (count >= MAX_TEMPLATES) {
        throw SandkeeperException.of(
                ErrorReason.TOO_MANY_TEMPLATES,
                "There are as many templates as there may be; delete one first.")
            .with("maxTemplates", MAX_TEMPLATES);
      }
      audit(transaction, principal, "created " + template.name());
    });
    return template;
  }

  /**
   * Returns a template.
   *
   * @throws SandkeeperException {@link ErrorReason#TEMPLATE_NOT_FOUND}
   */
  public Template get(String name) {
    return repository.find(name).orElseThrow(() -> notFound(name));
  }

  /** Returns all templates by name. */
  public List<Template> list() {
    return repository.list();
  }

  /**
   * Changes a template.
   *
   * @param fields what is changed, for people
   * @param change makes the new one, of the same name, from the one that there is
   * @throws SandkeeperException {@link ErrorReason#TEMPLATE_NOT_FOUND}, {@link
   *     ErrorReason#INVALID_FIELD} for what does not fit together, {@link
   *     ErrorReason#ENGINE_MISSING}, or {@link ErrorReason#RUNTIME_MISSING}
   */
  public Template update(
      Principal principal, String name, String fields, UnaryOperator<Template> change) {
    return transactions.call(transaction -> {
      Template present = repository.lock(transaction, name).orElseThrow(() -> notFound(name));
      Template changed = change.apply(present);
      check(changed);
      repository.update(transaction, changed);
      audit(transaction, principal, "changed " + name + ": " + fields);
      return changed;
    });
  }

  /**
   * Deletes a template.
   *
   * @throws SandkeeperException {@link ErrorReason#TEMPLATE_NOT_FOUND}
   */
  public void delete(Principal principal, String name) {
    transactions.run(transaction -> {
      if (!repository.delete(transaction, name)) {
        throw notFound(name);
      }
      audit(transaction, principal, "deleted " + name);
    });
  }

  /** Returns the refusal of a name that no template has. */
  static SandkeeperException notFound(String name) {
    return SandkeeperException.of(
            ErrorReason.TEMPLATE_NOT_FOUND, "There is no template of that name.")
        .with("template", name);
  }

  private void check(Template template) {
    check("cpu_cores", template.cpuCores());
    check("memory_mib", template.memoryMib());
    if (template.defaultTimeout().compareTo(template.maxTimeout()) > 0) {
      throw SandkeeperException.invalidField(
          "template.default_timeout",
          template.defaultTimeout() + " (expected: at most " + template.maxTimeout() + ")");
    }
    template
        .network()
        .exceeds(template.maxNetwork())
        .ifPresent(excess -> {
          throw SandkeeperException.invalidField(
              "template.network", excess + " (expected: within template.max_network)");
        });
    routing.check(template);
  }

  private static void check(String resource, Template.Range range) {
    if (range.min() > range.max()) {
      throw SandkeeperException.invalidField(
          "template.min_resources." + resource,
          range.min() + " (expected: at most " + range.max() + ")");
    }
    if (!range.holds(range.standard())) {
      throw SandkeeperException.invalidField(
          "template.default_resources." + resource,
          range.standard() + " (expected: " + range.min() + " to " + range.max() + ")");
    }
  }

  private void audit(Transaction transaction, Principal principal, String detail) {
    auditLog.append(
        transaction,
        AuditEntry.of(principal.tenantId(), clock.now(), AuditOperation.TEMPLATE_CHANGE)
            .by(principal)
            .withDetail(detail));
  }
}
