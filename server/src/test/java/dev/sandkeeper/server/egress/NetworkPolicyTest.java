package dev.sandkeeper.server.egress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.sandkeeper.server.net.HostName;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class NetworkPolicyTest {
  private static NetworkRule rule(String host, Integer... ports) {
    return new NetworkRule(HostPattern.of(host), List.of(ports));
  }

  private static NetworkPolicy policy(NetworkRule... rules) {
    return new NetworkPolicy(List.of(rules), 1000, 4);
  }

  @ParameterizedTest
  @CsvSource({
    "api.example.com, 443, true",
    "api.example.com, 80, false",
    "www.api.example.com, 443, false",
    "example.com, 443, false",
    "a.example.org, 8443, true",
    "a.b.example.org, 80, true",
    "example.org, 80, false",
    "badexample.org, 80, false",
    "example.org.evil.com, 80, false"
  })
  void hostsAndPortsAreAllowedByTheRules(String host, int port, boolean allowed) {
    NetworkPolicy policy = policy(rule("API.example.com."), rule("*.example.org", 8443, 80));

    assertThat(policy.allows(HostName.of(host), port)).isEqualTo(allowed);
  }

  @Test
  void noRulesAllowNothing() {
    assertThat(NetworkPolicy.NONE.allows(HostName.of("example.com"), 443)).isFalse();
    assertThat(NetworkPolicy.NONE.isNone()).isTrue();
  }

  @Test
  void aPolicyIsWithinAnotherOrSaysWhatIsNot() {
    NetworkPolicy most = policy(rule("*.example.com", 80, 443), rule("example.org"));

    assertThat(policy(rule("a.example.com", 80)).exceeds(most)).isEmpty();
    assertThat(policy(rule("*.b.example.com"), rule("example.org")).exceeds(most)).isEmpty();
    assertThat(policy(rule("*.example.com")).exceeds(most)).isEmpty();
    assertThat(NetworkPolicy.NONE.exceeds(most)).isEmpty();
    assertThat(NetworkPolicy.NONE.exceeds(NetworkPolicy.NONE)).isEmpty();
    assertThat(policy(rule("example.com")).exceeds(most)).contains("example.com port 443");
    assertThat(policy(rule("*.example.org")).exceeds(most)).contains("*.example.org port 443");
    assertThat(policy(rule("a.example.com", 80, 81)).exceeds(most))
        .contains("a.example.com port 81");
    assertThat(new NetworkPolicy(List.of(rule("example.org")), 1001, 4).exceeds(most))
        .contains("max_bytes 1001, more than 1000");
    assertThat(new NetworkPolicy(List.of(rule("example.org")), 1000, 5).exceeds(most))
        .contains("max_connections 5, more than 4");
    assertThat(policy(rule("example.org")).exceeds(NetworkPolicy.NONE)).isPresent();
  }

  @Test
  void boundsAreHeld() {
    assertThatIllegalArgumentException().isThrownBy(() -> rule("example.com", 0));
    assertThatIllegalArgumentException().isThrownBy(() -> rule("example.com", 65536));
    assertThatIllegalArgumentException().isThrownBy(() -> rule("*.com"));
    assertThatIllegalArgumentException().isThrownBy(() -> rule("a.*.example.com"));
    assertThatIllegalArgumentException().isThrownBy(() -> rule("169.254.169.254"));
    List<NetworkRule> tooMany = Collections.nCopies(101, rule("example.com"));
    assertThatIllegalArgumentException().isThrownBy(() -> new NetworkPolicy(tooMany, 1, 1));
    assertThatIllegalArgumentException().isThrownBy(() -> new NetworkPolicy(List.of(), 0, 1));
    assertThatIllegalArgumentException().isThrownBy(() -> new NetworkPolicy(List.of(), 1, 257));
  }
}
