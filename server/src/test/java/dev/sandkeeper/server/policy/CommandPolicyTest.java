package dev.sandkeeper.server.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.policy.CommandRule.Kind;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What policies deny. */
class CommandPolicyTest {
  private static final CommandPolicy POLICY =
      new CommandPolicy(
          List.of(),
          List.of(
              new CommandRule(Kind.PROGRAM, "curl"),
              new CommandRule(Kind.GLOB, "git push *"),
              new CommandRule(Kind.REGEX, "^rm .*-[a-z]*r")),
          List.of(
              new CodeRule(Optional.of(Language.PYTHON), "import\\s+socket"),
              new CodeRule(Optional.empty(), "169\\.254\\.169\\.254")));

  @Test
  void rulesMatchByProgramGlobAndExpression() {
    assertThat(denied(POLICY, "curl", "x")).contains("deny[0]");
    assertThat(denied(POLICY, "/usr/bin/curl")).contains("deny[0]");
    assertThat(denied(POLICY, "curlew")).isEmpty();
    assertThat(denied(POLICY, "git", "push", "-f", "origin")).contains("deny[1]");
    assertThat(denied(POLICY, "git", "pull")).isEmpty();
    assertThat(denied(POLICY, "rm", "-fr", "x")).contains("deny[2]");
    assertThat(denied(POLICY, "/bin/bash", "-c", "ls; echo $(env curl x)")).contains("deny[0]");
  }

  @Test
  void codeRulesMatchByLanguage() {
    assertThat(denied(POLICY, Language.PYTHON, "import  socket")).contains("deny_code[0]");
    assertThat(denied(POLICY, Language.R, "import socket")).isEmpty();
    assertThat(denied(POLICY, Language.R, "get('169.254.169.254')")).contains("deny_code[1]");
    assertThat(denied(POLICY, Language.BASH, "curl x")).contains("deny[0]");
    assertThat(denied(POLICY, Language.R, "x".repeat(CommandPolicy.MAX_CODE_LENGTH + 1)))
        .contains("deny_code[1]");
  }

  @Test
  void whereSomethingIsAllowedAllElseIsDenied() {
    CommandPolicy policy =
        new CommandPolicy(
            List.of(
                new CommandRule(Kind.PROGRAM, "python3"),
                new CommandRule(Kind.GLOB, "git status*")),
            List.of(),
            List.of());
    assertThat(denied(policy, "python3", "x.py")).isEmpty();
    assertThat(denied(policy, "/bin/bash", "-c", "cd x && git status -s; echo done")).isEmpty();
    assertThat(denied(policy, "git", "log")).contains("allow");
    assertThat(denied(policy, "/bin/bash", "-c", "python3 x.py | tee log")).contains("allow");
    assertThat(denied(policy, Language.PYTHON, "anything")).isEmpty();
  }

  @Test
  void bothPoliciesOfASandboxHold() {
    CommandPolicies policies =
        new CommandPolicies(
            POLICY,
            new CommandPolicy(
                List.of(new CommandRule(Kind.PROGRAM, "curl")), List.of(), List.of()));
    assertThat(policies.check(command("curl")).map(Denial::field)).contains("template.deny[0]");
    assertThat(policies.check(command("ls")).map(Denial::field)).contains("sandbox.allow");
    assertThat(CommandPolicies.NONE.check(command("curl"))).isEmpty();
  }

  @Test
  void aPolicyIsReadAsItWasWritten() {
    CommandPolicy all =
        new CommandPolicy(
            List.of(new CommandRule(Kind.GLOB, "a * b")), POLICY.deny(), POLICY.denyCode());
    assertThat(CommandPolicy.parse(all.format())).isEqualTo(all);
  }

  @Test
  void whatIsNoRuleIsRefused() {
    for (String wrong : List.of("", "x".repeat(257), "(", "a{2000}", "(?<!x)y")) {
      assertThatIllegalArgumentException().isThrownBy(() -> new CommandRule(Kind.REGEX, wrong));
    }
  }

  private static Optional<String> denied(CommandPolicy policy, String... argv) {
    return policy.check(command(argv)).map(Denial::field);
  }

  private static Optional<String> denied(CommandPolicy policy, Language language, String source) {
    return policy
        .check(new ExecutionSpec.Code(language, source, Optional.empty()))
        .map(Denial::field);
  }

  private static ExecutionSpec.Command command(String... argv) {
    return new ExecutionSpec.Command(List.of(argv));
  }
}
