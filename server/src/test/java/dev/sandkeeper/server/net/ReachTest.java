package dev.sandkeeper.server.net;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.InetAddress;
import java.net.UnknownHostException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class ReachTest {
  @ParameterizedTest
  @CsvSource({
    "8.8.8.8, PUBLIC",
    "93.184.216.34, PUBLIC",
    "172.15.255.255, PUBLIC",
    "172.32.0.0, PUBLIC",
    "100.63.255.255, PUBLIC",
    "168.63.129.15, PUBLIC",
    "168.63.129.17, PUBLIC",
    "223.255.255.255, PUBLIC",
    "2606:2800:220:1::1, PUBLIC",
    "::ffff:8.8.8.8, PUBLIC",
    "10.0.0.1, PRIVATE",
    "100.64.0.1, PRIVATE",
    "100.100.100.201, PRIVATE",
    "127.0.0.1, PRIVATE",
    "127.255.255.255, PRIVATE",
    "172.16.0.0, PRIVATE",
    "172.31.255.255, PRIVATE",
    "192.168.1.1, PRIVATE",
    "::1, PRIVATE",
    "fd00::1, PRIVATE",
    "::ffff:10.0.0.1, PRIVATE",
    "::ffff:7f00:1, PRIVATE",
    "0.0.0.0, FORBIDDEN",
    "0.1.2.3, FORBIDDEN",
    "169.254.169.254, FORBIDDEN",
    "192.0.0.170, FORBIDDEN",
    "192.0.2.1, FORBIDDEN",
    "198.18.0.1, FORBIDDEN",
    "198.51.100.1, FORBIDDEN",
    "203.0.113.1, FORBIDDEN",
    "224.0.0.1, FORBIDDEN",
    "239.255.255.255, FORBIDDEN",
    "240.0.0.1, FORBIDDEN",
    "255.255.255.255, FORBIDDEN",
    "168.63.129.16, FORBIDDEN",
    "100.100.100.200, FORBIDDEN",
    "::, FORBIDDEN",
    "::10.0.0.1, FORBIDDEN",
    "::ffff:169.254.169.254, FORBIDDEN",
    "::ffff:168.63.129.16, FORBIDDEN",
    "64:ff9b::a00:1, FORBIDDEN",
    "2001::1, FORBIDDEN",
    "2001:db8::1, FORBIDDEN",
    "2002:a00:1::1, FORBIDDEN",
    "fd00:42::42, FORBIDDEN",
    "fd00:100::100:200, FORBIDDEN",
    "fd00:a9fe:a9fe::1, FORBIDDEN",
    "fd00:c1::a9fe:a9fe, FORBIDDEN",
    "fd00:ec2::254, FORBIDDEN",
    "fd20:ce::254, FORBIDDEN",
    "fe80::1, FORBIDDEN",
    "fec0::1, FORBIDDEN",
    "ff02::1, FORBIDDEN"
  })
  void everyAddressHasItsReach(String address, Reach reach) {
    assertThat(Reach.of(InetAddress.ofLiteral(address))).isEqualTo(reach);
  }

  @Test
  void ipv4WithinIpv6IsWhatItIs() throws UnknownHostException {
    byte[] bytes = new byte[16];
    bytes[10] = -1;
    bytes[11] = -1;
    bytes[12] = 10;

    // Made so, the JDK leaves it as IPv6.
    assertThat(Reach.of(java.net.Inet6Address.getByAddress("x", bytes, 1)))
        .isEqualTo(Reach.PRIVATE);
  }
}
