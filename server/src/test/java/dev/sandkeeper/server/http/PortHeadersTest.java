package dev.sandkeeper.server.http;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import com.linecorp.armeria.common.HttpRequest;
import com.linecorp.armeria.common.RequestHeaders;
import com.linecorp.armeria.common.RequestHeadersBuilder;
import com.linecorp.armeria.server.ServiceRequestContext;
import io.netty.handler.codec.http.HttpHeaders;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What of a request passes on to a program, where a client means to mislead it. */
class PortHeadersTest {
  private static final String PREFIX = "/v1/sandboxes/" + "a".repeat(20) + "/ports/80";

  private static HttpHeaders inward(String... headers) {
    RequestHeadersBuilder request = RequestHeaders.builder();
    request.method(com.linecorp.armeria.common.HttpMethod.POST).path(PREFIX + "/x");
    request.scheme("http").authority("host.example");
    for (int i = 0; i < headers.length; i += 2) {
      request.add(headers[i], headers[i + 1]);
    }
    ServiceRequestContext context =
        ServiceRequestContext.of(HttpRequest.streaming(request.build()));
    PortTarget target = PortTarget.byPath(PREFIX + "/x").orElseThrow();
    return PortHeaders.inward(context, target, false, true).headers();
  }

  @Test
  void aLengthAndChunksAreNeverBothThere() {
    for (HttpHeaders headers :
        List.of(
            inward("content-length", "5"),
            inward("content-length", "5", "transfer-encoding", "chunked"),
            inward("transfer-encoding", "chunked"))) {
      assertThat(headers.names()).containsAnyOf("content-length", "transfer-encoding");
      assertThat(headers.contains("content-length"))
          .isNotEqualTo(headers.contains("transfer-encoding"));
    }
    assertThat(inward().get("transfer-encoding")).isEqualTo("chunked");
  }

  @ParameterizedTest
  @ValueSource(strings = {"x\r\nevil: 1", "x\nevil: 1", "x\rx", "x\0y"})
  void valuesThatEndTheirLineAreRefused(String value) {
    assertThatIllegalArgumentException().isThrownBy(() -> inward("x-own", value));
  }

  @Test
  void whatConcernsOneConnectionStaysBehind() {
    HttpHeaders headers =
        inward(
            "connection", "close, X-Hop",
            "x-hop", "1",
            "te", "trailers",
            "proxy-authorization", "Basic eA==",
            "upgrade", "h2c",
            "http2-settings", "AA",
            "x-own", "1");

    assertThat(headers.names())
        .containsExactlyInAnyOrder(
            "host",
            "x-own",
            "connection",
            "transfer-encoding",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded-prefix");
    assertThat(headers.get("connection")).isEqualTo("close");
  }

  @Test
  void whatIsSaidOfTheClientIsNotTheClientsToSay() {
    HttpHeaders headers =
        inward(
            "x-forwarded-for", "6.6.6.6",
            "x-forwarded-host", "evil.example",
            "x-forwarded-prefix", "/evil",
            "forwarded", "for=6.6.6.6");

    assertThat(headers.getAll("x-forwarded-for")).doesNotContain("6.6.6.6").hasSize(1);
    assertThat(headers.get("x-forwarded-host")).isEqualTo("host.example");
    assertThat(headers.get("x-forwarded-prefix")).isEqualTo(PREFIX);
    assertThat(headers.contains("forwarded")).isFalse();
  }

  @Test
  void keysAndCookiesOfTheApiStayBehind() {
    HttpHeaders headers =
        inward(
            "authorization", "bearer  sk_" + "a".repeat(40),
            "x-api-key", "sk_" + "b".repeat(40),
            "cookie", "session=1; sandkeeper-port=x");

    assertThat(headers.names()).doesNotContain("authorization", "x-api-key", "cookie");
    assertThat(inward("authorization", "Bearer of-the-program").get("authorization"))
        .isEqualTo("Bearer of-the-program");
  }

  @ParameterizedTest
  @CsvSource({
    "https://host.example/?sandkeeper-token=T, https://host.example/",
    "https://host.example/a?x=1&Sandkeeper-Token=T&y=2, https://host.example/a?x=1&y=2",
    "/a?sandkeeper-token=T&sandkeeper-token=T, /a",
    "https://other.example/a?x=1, https://other.example/a?x=1",
  })
  void whereARequestComesFromIsToldWithoutTheToken(String referer, String inside) {
    assertThat(inward("referer", referer).getAll("referer")).containsExactly(inside);
  }

  @ParameterizedTest
  @CsvSource({
    "/a?x=1&sandkeeper-token=T&y=2, /a?x=1&y=2, T",
    "/a?sandkeeper-token=T, /a, T",
    "/a?sandkeeper-token=S&sandkeeper-token=T, /a, T",
    "/a?Sandkeeper-Token=T, /a, T",
    "/a?x=sandkeeper-token=T, /a?x=sandkeeper-token=T, ",
    "/a, /a, ",
  })
  void theTokenIsTakenOutOfTheQuery(String path, String left, String token) {
    PortGate.Split split = PortGate.split(path);

    assertThat(split.path()).isEqualTo(left);
    assertThat(split.token().orElse(null)).isEqualTo(token);
  }

  @ParameterizedTest
  @CsvSource({
    "/ports/80/x//y/../z?q=%2F, /x//y/../z?q=%2F",
    "/ports/80/, /",
    "/ports/80, ''",
    "//ports//80//, //",
    "/ports/80?x=/, ?x=/",
  })
  void thePathIsPassedOnAsItCame(String path, String inside) {
    PortTarget target = PortTarget.byPath("/v1/sandboxes/" + "a".repeat(20) + path).orElseThrow();

    assertThat(target.path()).isEqualTo(inside);
    assertThat(target.prefix()).isEqualTo(PREFIX);
    assertThat(target.address()).isPresent();
  }

  @ParameterizedTest
  @ValueSource(strings = {"0", "65536", "-1", "+80", "99999999999", "8o", "٨٠"})
  void whatIsNoPortIsNone(String port) {
    assertThat(
            PortTarget.byPath("/v1/sandboxes/" + "a".repeat(20) + "/ports/" + port + "/")
                .flatMap(PortTarget::address))
        .isEmpty();
  }
}
