package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.egress.HostPattern;
import dev.sandkeeper.server.egress.NetworkPolicy;
import dev.sandkeeper.server.egress.NetworkRule;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Network policies on the wire. */
final class NetworkMapper {
  private NetworkMapper() {}

  /**
   * Returns a policy; one that is absent or has no rules is no way out.
   *
   * @param field where it stands, for the refusal
   * @throws SandkeeperException {@code INVALID_FIELD} for a host that is none
   */
  static NetworkPolicy fromProto(String field, dev.sandkeeper.v1.NetworkPolicy proto) {
    List<NetworkRule> rules = new ArrayList<>();
    for (dev.sandkeeper.v1.NetworkRule rule : proto.getRulesList()) {
      rules.add(new NetworkRule(host(field, rules.size(), rule.getHost()), rule.getPortsList()));
    }
    if (rules.isEmpty()) {
      return NetworkPolicy.NONE;
    }
    return new NetworkPolicy(
        rules,
        proto.getMaxBytes() == 0 ? NetworkPolicy.DEFAULT_BYTES : proto.getMaxBytes(),
        proto.getMaxConnections() == 0
            ? NetworkPolicy.DEFAULT_CONNECTIONS
            : proto.getMaxConnections());
  }

  private static HostPattern host(String field, int index, String text) {
    try {
      return HostPattern.of(text);
    } catch (IllegalArgumentException e) {
      throw SandkeeperException.invalidField(
          field + ".rules[" + index + "].host", String.valueOf(e.getMessage()));
    }
  }

  /** Returns a policy, empty for no way out. */
  static Optional<dev.sandkeeper.v1.NetworkPolicy> toProto(NetworkPolicy policy) {
    if (policy.isNone()) {
      return Optional.empty();
    }
    dev.sandkeeper.v1.NetworkPolicy.Builder proto =
        dev.sandkeeper.v1.NetworkPolicy.newBuilder()
            .setMaxBytes(policy.maxBytes())
            .setMaxConnections(policy.maxConnections());
    for (NetworkRule rule : policy.rules()) {
      proto.addRules(
          dev.sandkeeper.v1.NetworkRule.newBuilder()
              .setHost(rule.host().toString())
              .addAllPorts(rule.ports()));
    }
    return Optional.of(proto.build());
  }
}
