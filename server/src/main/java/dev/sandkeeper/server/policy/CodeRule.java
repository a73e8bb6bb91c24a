package dev.sandkeeper.server.policy;

import com.google.re2j.Pattern;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.util.Optional;

/**
 * A rule that code matches.
 *
 * @param language of which; empty for all
 * @param regex an expression of RE2 that is found in it
 */
public record CodeRule(Optional<Language> language, String regex) {
  private static final String ANY = "*";

  /** Checks the expression. */
  public CodeRule {
    Patterns.check(regex, true);
  }

  /** Returns the rule as a text, which {@link #parse} reads. */
  String format() {
    return language.map(Enum::name).orElse(ANY) + " " + regex;
  }

  /** Reads what {@link #format} wrote. */
  static CodeRule parse(String formatted) {
    int space = formatted.indexOf(' ');
    String language = formatted.substring(0, space);
    return new CodeRule(
        language.equals(ANY) ? Optional.empty() : Optional.of(Language.valueOf(language)),
        formatted.substring(space + 1));
  }

  /** Says whether code is meant. */
  boolean matches(Language of, String source) {
    return isFor(of) && Pattern.compile(regex).matcher(source).find();
  }

  /** Says whether it is about code of a language. */
  boolean isFor(Language of) {
    return language.isEmpty() || language.get() == of;
  }
}
