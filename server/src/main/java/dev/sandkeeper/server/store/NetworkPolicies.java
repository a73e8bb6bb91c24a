package dev.sandkeeper.server.store;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.sandkeeper.server.egress.HostPattern;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.egress.NetworkRule;
import java.util.List;
import java.util.Optional;
import org.jooq.JSONB;

/** Network policies as JSON objects; none for no way out. */
final class NetworkPolicies {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private NetworkPolicies() {}

  private record Policy(List<Rule> rules, long maxBytes, int maxConnections) {}

  private record Rule(String host, List<Integer> ports) {}

  static Optional<JSONB> toJson(NetworkPolicy policy) {
    if (policy.isNone()) {
      return Optional.empty();
    }
    List<Rule> rules =
        policy.rules().stream()
            .map(rule -> new Rule(rule.host().toString(), rule.ports()))
            .toList();
    try {
      return Optional.of(
          JSONB.valueOf(
              MAPPER.writeValueAsString(
                  new Policy(rules, policy.maxBytes(), policy.maxConnections()))));
    } catch (JsonProcessingException e) {
      throw new IllegalStateException(e); // such a record is always JSON
    }
  }

  static NetworkPolicy of(Optional<JSONB> json) {
    if (json.isEmpty()) {
      return NetworkPolicy.NONE;
    }
    try {
      Policy policy = MAPPER.readValue(json.get().data(), Policy.class);
      return new NetworkPolicy(
          policy.rules().stream()
              .map(rule -> new NetworkRule(HostPattern.of(rule.host()), rule.ports()))
              .toList(),
          policy.maxBytes(),
          policy.maxConnections());
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("a row holds what no version of this server wrote", e);
    }
  }
}
