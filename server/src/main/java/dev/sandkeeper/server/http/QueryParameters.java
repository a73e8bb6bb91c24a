package dev.sandkeeper.server.http;

import com.linecorp.armeria.common.QueryParams;
import dev.sandkeeper.server.base.SandkeeperException;
import java.util.List;

/** Query parameters of what is no unary call. */
final class QueryParameters {
  private QueryParameters() {}

  /**
   * Refuses parameters that would be ignored otherwise, and those that are given twice.
   *
   * @throws SandkeeperException when there is one
   */
  static void requireOnly(QueryParams parameters, String... known) {
    for (String name : parameters.names()) {
      if (!List.of(known).contains(name)) {
        throw SandkeeperException.invalidField(
            name,
            "no parameter of this call (expected: "
                + (known.length == 0 ? "none" : String.join(", ", known))
                + ")");
      }
      if (parameters.getAll(name).size() > 1) {
        throw SandkeeperException.invalidField(
            name, "given " + parameters.getAll(name).size() + " times (expected: once)");
      }
    }
  }
}
