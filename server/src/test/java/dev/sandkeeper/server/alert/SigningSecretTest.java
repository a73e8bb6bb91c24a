package dev.sandkeeper.server.alert;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Base64;
import java.util.Random;
import org.junit.jupiter.api.Test;

final class SigningSecretTest {
  /** The example of the reference libraries of Standard Webhooks. */
  @Test
  void signatureIsThatOfStandardWebhooks() {
    SigningSecret secret =
        new SigningSecret(Base64.getDecoder().decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));

    assertThat(secret.text()).isEqualTo("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    assertThat(secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, "{\"test\": 2432232314}"))
        .isEqualTo("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
  }

  @Test
  void secretIsNotPrinted() {
    SigningSecret secret = SigningSecret.generate(new Random(1));

    assertThat(secret.key()).hasSize(32);
    assertThat(secret.toString()).isEqualTo("SigningSecret[hidden]");
  }
}
