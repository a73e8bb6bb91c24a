package dev.sandkeeper.server.policy;

import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;

/** Patterns of rules, by RE2: whatever they are, matching takes time in proportion to the text. */
final class Patterns {
  private Patterns() {}

  /** Refuses a text that is no rule's. */
  static void check(String text, boolean isRegex) {
    if (text.isEmpty() || text.length() > CommandRule.MAX_LENGTH) {
      throw new IllegalArgumentException(
          text.length() + " characters (expected: 1 to " + CommandRule.MAX_LENGTH + ")");
    }
    if (isRegex) {
      try {
        var _ = Pattern.compile(text);
      } catch (PatternSyntaxException e) {
        throw new IllegalArgumentException(
            e.getDescription() + " (expected: an expression of RE2)", e);
      }
    }
  }

  /** Returns the pattern of a glob. */
  static Pattern glob(String glob) {
    StringBuilder regex = new StringBuilder();
    int begin = 0;
    for (int star = glob.indexOf('*'); star >= 0; star = glob.indexOf('*', begin)) {
      regex.append(Pattern.quote(glob.substring(begin, star))).append(".*");
      begin = star + 1;
    }
    regex.append(Pattern.quote(glob.substring(begin)));
    return Pattern.compile(regex.toString(), Pattern.DOTALL);
  }
}
