package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.HttpMethod;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/**
 * What one method at one kind of path leads to.
 *
 * @param method the method of HTTP
 * @param path what the paths match, whole
 */
record Endpoint(HttpMethod method, Pattern path) {
  private static final Pattern VARIABLE = Pattern.compile("\\{(\\*?)([a-z_]+)}");

  /**
   * Makes the endpoint of a template.
   *
   * @param template a path with {@code {name}} for what varies, within a segment, and {@code
   *     {*name}} for all the rest
   */
  static Endpoint of(HttpMethod method, String template) {
    StringBuilder regex = new StringBuilder();
    int end = 0;
    for (MatchResult variable : VARIABLE.matcher(template).results().toList()) {
      regex
          .append(Pattern.quote(template.substring(end, variable.start())))
          .append(variable.group(1).isEmpty() ? "[^/]+" : ".+");
      end = variable.end();
    }
    return new Endpoint(method, Pattern.compile(regex + Pattern.quote(template.substring(end))));
  }

  /** Returns the names of what varies in a template. */
  static List<String> variables(String template) {
    return VARIABLE.matcher(template).results().map(match -> match.group(2)).toList();
  }

  boolean isAt(String candidate) {
    return path.matcher(candidate).matches();
  }
}
