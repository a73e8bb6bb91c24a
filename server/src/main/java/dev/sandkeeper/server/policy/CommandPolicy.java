package dev.sandkeeper.server.policy;

import dev.sandkeeper.server.engine.ExecutionSpec;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Which commands and code may be run. An aid, not a wall: it goes by what is written.
 *
 * @param allow when there are any, each command must match one of them
 * @param deny no command may match one of them
 * @param denyCode no code may match one of them
 */
public record CommandPolicy(
    List<CommandRule> allow, List<CommandRule> deny, List<CodeRule> denyCode) {
  /** The most rules of a kind. */
  public static final int MAX_RULES = 64;

  /** The longest code that is looked through, in characters. */
  static final int MAX_CODE_LENGTH = 1 << 20;

  /** One that allows everything. */
  public static final CommandPolicy NONE = new CommandPolicy(List.of(), List.of(), List.of());

  private static final String ALLOW = "allow ";
  private static final String DENY = "deny ";
  private static final String DENY_CODE = "deny_code ";

  /** Copies the rules. */
  public CommandPolicy {
    allow = List.copyOf(allow);
    deny = List.copyOf(deny);
    denyCode = List.copyOf(denyCode);
    if (Math.max(Math.max(allow.size(), deny.size()), denyCode.size()) > MAX_RULES) {
      throw new IllegalArgumentException(
          "more rules than there may be (expected: at most " + MAX_RULES + " of a kind)");
    }
  }

  /** Returns the rules as texts, which {@link #parse} reads. */
  public List<String> format() {
    List<String> rules = new ArrayList<>();
    allow.forEach(rule -> rules.add(ALLOW + rule.format()));
    deny.forEach(rule -> rules.add(DENY + rule.format()));
    denyCode.forEach(rule -> rules.add(DENY_CODE + rule.format()));
    return rules;
  }

  /** Reads what {@link #format} wrote. */
  public static CommandPolicy parse(List<String> rules) {
    List<CommandRule> allow = new ArrayList<>();
    List<CommandRule> deny = new ArrayList<>();
    List<CodeRule> denyCode = new ArrayList<>();
    for (String rule : rules) {
      if (rule.startsWith(ALLOW)) {
        allow.add(CommandRule.parse(rule.substring(ALLOW.length())));
      } else if (rule.startsWith(DENY)) {
        deny.add(CommandRule.parse(rule.substring(DENY.length())));
      } else {
        denyCode.add(CodeRule.parse(rule.substring(DENY_CODE.length())));
      }
    }
    return new CommandPolicy(allow, deny, denyCode);
  }

  /** Says whether it has no rules. */
  public boolean isEmpty() {
    return allow.isEmpty() && deny.isEmpty() && denyCode.isEmpty();
  }

  /** Returns what it denies of a run, if anything. */
  Optional<Denial> check(ExecutionSpec.Run run) {
    if (isEmpty()) {
      return Optional.empty();
    }
    return switch (run) {
      case ExecutionSpec.Command command -> check(ShellLine.commands(command.argv()));
      case ExecutionSpec.Code code -> {
        Optional<Denial> denial = check(code);
        yield denial.isPresent() || code.language() != ExecutionSpec.Language.BASH
            ? denial
            : check(ShellLine.commands(code.source()));
      }
    };
  }

  private Optional<Denial> check(List<SimpleCommand> commands) {
    for (SimpleCommand command : commands) {
      for (int i = 0; i < deny.size(); i++) {
        if (deny.get(i).matches(command)) {
          return Optional.of(
              new Denial("deny[%d]".formatted(i), deny.get(i).format(), command.program()));
        }
      }
      if (!allow.isEmpty()
          && !command.isHarmless()
          && allow.stream().noneMatch(rule -> rule.matches(command))) {
        return Optional.of(new Denial("allow", "no rule matches", command.program()));
      }
    }
    return Optional.empty();
  }

  private Optional<Denial> check(ExecutionSpec.Code code) {
    for (int i = 0; i < denyCode.size(); i++) {
      CodeRule rule = denyCode.get(i);
      String field = "deny_code[%d]".formatted(i);
      String language = code.language().name();
      if (rule.isFor(code.language()) && code.source().length() > MAX_CODE_LENGTH) {
        return Optional.of(
            new Denial(field, "more than " + MAX_CODE_LENGTH + " characters", language));
      }
      if (rule.matches(code.language(), code.source())) {
        return Optional.of(new Denial(field, rule.format(), language));
      }
    }
    return Optional.empty();
  }
}
