package dev.sandkeeper.server.port;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.base.IdGenerator;
import dev.sandkeeper.server.base.SandboxId;
import dev.sandkeeper.server.store.SandboxRepositories;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Tokens over a real database, by a clock that stands still until it is put forward. */
class PortTokensTest {
  @RegisterExtension static final DatabaseExtension database = new DatabaseExtension();

  private static final String SANDBOX = "a".repeat(20);
  private static final PortAddress ADDRESS = new PortAddress(new SandboxId(SANDBOX), 8080);

  /** Goes on from test to test, as the keys stay in the database. */
  private static Instant now = Instant.parse("2026-03-10T12:00:00.123Z");

  private final IdGenerator ids = new IdGenerator(new SecureRandom());
  private final String apiKeyId = ids.next();
  private final PortTokens tokens = newTokens();

  private PortTokens newTokens() {
    return new PortTokens(
        database.transactions(),
        SandboxRepositories.portKeys(database.transactions()),
        () -> now,
        ids,
        new SecureRandom());
  }

  private String issue() {
    return tokens.issue(ADDRESS, new PortTokens.Grant(apiKeyId, now.plusSeconds(60)));
  }

  private static void advance(Duration duration) {
    now = now.plus(duration);
  }

  @Test
  void aTokenIsGoodForItsPortUntilItsTime() {
    String token = issue();

    assertThat(tokens.verify(token, ADDRESS))
        .hasValueSatisfying(grant -> assertThat(grant.apiKeyId()).isEqualTo(apiKeyId));
    advance(Duration.ofSeconds(59));
    assertThat(tokens.verify(token, ADDRESS)).isPresent();
    advance(Duration.ofSeconds(1));
    assertThat(tokens.verify(token, ADDRESS)).isEmpty();
  }

  @ParameterizedTest
  @CsvSource({"aaaaaaaaaaaaaaaaaaaa, 8081", "aaaaaaaaaaaaaaaaaaab, 8080"})
  void itIsGoodForNoOther(String sandboxId, int port) {
    PortAddress other = new PortAddress(new SandboxId(sandboxId), port);

    assertThat(tokens.verify(issue(), other)).isEmpty();
  }

  @Test
  void nothingOfItCanBeChanged() {
    String token = issue();

    for (int i = 0; i < token.length(); i++) {
      for (char c : "a0Z_.".toCharArray()) {
        String changed = token.substring(0, i) + c + token.substring(i + 1);
        if (!changed.equals(token)) {
          assertThat(tokens.verify(changed, ADDRESS)).as(changed).isEmpty();
        }
      }
    }
    // In Base64 the last character stands for bits that are not used, too.
    assertThat("AEIMQUYcgkosw048".chars().filter(c -> c == token.charAt(token.length() - 1)))
        .hasSize(1);
    assertThat(tokens.verify(token + "A", ADDRESS)).isEmpty();
    assertThat(tokens.verify("", ADDRESS)).isEmpty();
  }

  @Test
  void everyServerVerifiesWhatAnotherHasSigned() {
    PortTokens other = newTokens();
    String token = issue();

    assertThat(other.verify(token, ADDRESS)).isPresent();
    assertThat(
            tokens.verify(
                other.issue(ADDRESS, new PortTokens.Grant(apiKeyId, now.plusSeconds(1))), ADDRESS))
        .isPresent();
    assertThat(keyOf(other.issue(ADDRESS, new PortTokens.Grant(apiKeyId, now.plusSeconds(1)))))
        .isEqualTo(keyOf(token));
  }

  @Test
  void keysGrowOldAndGoWhenNoTokenNeedsThem() {
    advance(PortTokens.KEY_AGE);
    String first = issue();
    advance(PortTokens.KEY_AGE.minus(Duration.ofMillis(1)));
    String last =
        tokens.issue(ADDRESS, new PortTokens.Grant(apiKeyId, now.plus(PortTokens.MAX_VALIDITY)));
    advance(Duration.ofHours(23));
    String next = issue();

    assertThat(keyOf(last)).isEqualTo(keyOf(first));
    assertThat(keyOf(next)).isNotEqualTo(keyOf(first));
    assertThat(newTokens().verify(last, ADDRESS)).isPresent();
    advance(PortTokens.KEY_AGE);
    assertThat(keyOf(issue())).isNotEqualTo(keyOf(next));
    assertThat(SandboxRepositories.portKeys(database.transactions()).list())
        .extracting(PortKey::keyId)
        .contains(keyOf(next))
        .doesNotContain(keyOf(first));
  }

  private static String keyOf(String token) {
    return token.substring(0, token.indexOf('.'));
  }
}
