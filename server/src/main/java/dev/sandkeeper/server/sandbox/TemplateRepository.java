package dev.sandkeeper.server.sandbox;

import dev.sandkeeper.server.base.Transaction;
import java.util.List;
import java.util.Optional;

/** Keeps the templates. */
public interface TemplateRepository {
  /** Returns the template of that name. */
  Optional<Template> find(String name);

  /** Returns all templates by name. */
  List<Template> list();

  /**
   * Returns how many templates there are. Others who count them wait for the end of the
   * transaction.
   */
  int count(Transaction transaction);

  /** Adds a template; says whether its name was free. */
  boolean insert(Transaction transaction, Template template);

  /**
   * Returns the template of that name, which nobody else changes before the end of the transaction.
   */
  Optional<Template> lock(Transaction transaction, String name);

  /** Changes all of the template of that name, which there is. */
  void update(Transaction transaction, Template template);

  /** Deletes the template of that name; says whether there was one. */
  boolean delete(Transaction transaction, String name);
}
