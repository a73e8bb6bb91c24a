package dev.sandkeeper.server.policy;

import com.google.re2j.Pattern;
import java.util.Locale;

/**
 * A rule that commands match.
 *
 * @param kind how
 * @param text what
 */
public record CommandRule(Kind kind, String text) {
  /** The longest text of a rule, in characters. */
  public static final int MAX_LENGTH = 256;

  /** What a rule's text is. */
  public enum Kind {
    /** The program: its path, or the last name of that. */
    PROGRAM,
    /** The whole command, its words with a space between each; {@code *} is anything. */
    GLOB,
    /** An expression of RE2 that is found in the whole command. */
    REGEX
  }

  /** Checks that the text is not empty, not too long, and an expression when it is to be one. */
  public CommandRule {
    Patterns.check(text, kind == Kind.REGEX);
  }

  /** Returns the rule as a text, which {@link #parse} reads. */
  String format() {
    return kind.name().toLowerCase(Locale.ROOT) + " " + text;
  }

  /** Reads what {@link #format} wrote. */
  static CommandRule parse(String formatted) {
    int space = formatted.indexOf(' ');
    return new CommandRule(
        Kind.valueOf(formatted.substring(0, space).toUpperCase(Locale.ROOT)),
        formatted.substring(space + 1));
  }

  /** Says whether a command is meant. */
  boolean matches(SimpleCommand command) {
    return switch (kind) {
      case PROGRAM -> text.equals(command.path()) || text.equals(command.program());
      case GLOB -> Patterns.glob(text).matches(command.text());
      case REGEX -> Pattern.compile(text, Pattern.DOTALL).matcher(command.text()).find();
    };
  }
}
