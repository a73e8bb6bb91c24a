package dev.sandkeeper.server.api;

import dev.sandkeeper.server.base.SandkeeperException;
import dev.sandkeeper.server.policy.CodeRule;
import dev.sandkeeper.server.policy.CommandPolicies;
import dev.sandkeeper.server.policy.CommandPolicy;
import dev.sandkeeper.server.policy.CommandRule;
import dev.sandkeeper.v1.Language;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/** Command policies on the wire. */
final class CommandPolicyMapper {
  private CommandPolicyMapper() {}

  /**
   * Returns what is asked for.
   *
   * @param path the policy's field
   */
  static CommandPolicy fromProto(String path, dev.sandkeeper.v1.CommandPolicy proto) {
    return new CommandPolicy(
        rules(path + ".allow", proto.getAllowList(), CommandPolicyMapper::rule),
        rules(path + ".deny", proto.getDenyList(), CommandPolicyMapper::rule),
        rules(path + ".deny_code", proto.getDenyCodeList(), CommandPolicyMapper::codeRule));
  }

  static dev.sandkeeper.v1.CommandPolicy toProto(CommandPolicy policy) {
    return dev.sandkeeper.v1.CommandPolicy.newBuilder()
        .addAllAllow(policy.allow().stream().map(CommandPolicyMapper::toProto).toList())
        .addAllDeny(policy.deny().stream().map(CommandPolicyMapper::toProto).toList())
        .addAllDenyCode(policy.denyCode().stream().map(CommandPolicyMapper::toProto).toList())
        .build();
  }

  /** Returns the policies of a sandbox; empty when they deny nothing. */
  static Optional<dev.sandkeeper.v1.CommandPolicies> toProto(CommandPolicies policies) {
    dev.sandkeeper.v1.CommandPolicies.Builder proto =
        dev.sandkeeper.v1.CommandPolicies.newBuilder();
    if (!policies.template().isEmpty()) {
      proto.setTemplate(toProto(policies.template()));
    }
    if (!policies.sandbox().isEmpty()) {
      proto.setSandbox(toProto(policies.sandbox()));
    }
    return proto.hasTemplate() || proto.hasSandbox()
        ? Optional.of(proto.build())
        : Optional.empty();
  }

  private static <P, R> List<R> rules(String path, List<P> protos, Function<P, R> rule) {
    List<R> rules = new ArrayList<>();
    for (P proto : protos) {
      try {
        rules.add(rule.apply(proto));
      } catch (IllegalArgumentException e) {
        throw SandkeeperException.invalidField(
            "%s[%d]".formatted(path, rules.size()), String.valueOf(e.getMessage()));
      }
    }
    return rules;
  }

  private static CommandRule rule(dev.sandkeeper.v1.CommandRule proto) {
    return switch (proto.getRuleCase()) {
      case PROGRAM -> new CommandRule(CommandRule.Kind.PROGRAM, proto.getProgram());
      case GLOB -> new CommandRule(CommandRule.Kind.GLOB, proto.getGlob());
      case REGEX -> new CommandRule(CommandRule.Kind.REGEX, proto.getRegex());
      case RULE_NOT_SET ->
          throw new IllegalArgumentException("absent (expected: program, glob or regex)");
    };
  }

  private static CodeRule codeRule(dev.sandkeeper.v1.CodeRule proto) {
    return new CodeRule(
        proto.getLanguage() == Language.LANGUAGE_UNSPECIFIED
            ? Optional.empty()
            : Optional.of(ExecutionMapper.language(proto.getLanguage())),
        proto.getRegex());
  }

  private static dev.sandkeeper.v1.CommandRule toProto(CommandRule rule) {
    dev.sandkeeper.v1.CommandRule.Builder proto = dev.sandkeeper.v1.CommandRule.newBuilder();
    return switch (rule.kind()) {
      case PROGRAM -> proto.setProgram(rule.text()).build();
      case GLOB -> proto.setGlob(rule.text()).build();
      case REGEX -> proto.setRegex(rule.text()).build();
    };
  }

  private static dev.sandkeeper.v1.CodeRule toProto(CodeRule rule) {
    dev.sandkeeper.v1.CodeRule.Builder proto =
        dev.sandkeeper.v1.CodeRule.newBuilder().setRegex(rule.regex());
    rule.language().map(ExecutionMapper::toProto).ifPresent(proto::setLanguage);
    return proto.build();
  }
}
