package dev.sandkeeper.server.sandbox;

import java.util.List;
import java.util.Optional;

/** Keeps the templates. */
public interface TemplateRepository {
  /** Returns the template of that name. */
  Optional<Template> find(String name);

  /** Returns all templates by name. */
  List<Template> list();
}
