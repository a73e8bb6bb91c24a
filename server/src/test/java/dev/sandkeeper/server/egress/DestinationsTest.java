package dev.sandkeeper.server.egress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.sandkeeper.server.net.HostName;
import java.net.InetAddress;
import java.net.InterfaceAddress;
import java.net.NetworkInterface;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class DestinationsTest {
  private static final HostName HOST = HostName.of("example.com");
  private static final InetAddress PUBLIC = InetAddress.ofLiteral("93.184.216.34");

  private static void refuses(Destinations destinations, Verdict verdict) {
    assertThatExceptionOfType(RefusedException.class)
        .isThrownBy(() -> destinations.find(HOST))
        .extracting(RefusedException::verdict)
        .isEqualTo(verdict);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "127.0.0.1",
        "::1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "2001::1",
        "::10.0.0.1"
      })
  void aHostWithOneAddressThatIsNotPublicIsRefused(String address) {
    InetAddress inside = InetAddress.ofLiteral(address);

    refuses(Destinations.ofPublic(_ -> List.of(inside)), Verdict.PRIVATE_ADDRESS);
    refuses(Destinations.ofPublic(_ -> List.of(PUBLIC, inside)), Verdict.PRIVATE_ADDRESS);
  }

  @Test
  void addressesOfThisMachineAreRefusedAlsoWhenTheyArePublic() throws Exception {
    for (NetworkInterface device : NetworkInterface.networkInterfaces().toList()) {
      for (InterfaceAddress own : device.getInterfaceAddresses()) {
        refuses(Destinations.ofPublic(_ -> List.of(own.getAddress())), Verdict.PRIVATE_ADDRESS);
      }
    }
  }

  @Test
  void aPublicHostIsFoundByItsFullNameAlone() throws Exception {
    List<String> asked = new ArrayList<>();
    Destinations destinations =
        Destinations.ofPublic(name -> {
          asked.add(name);
          return List.of(PUBLIC);
        });

    assertThat(destinations.find(HOST)).containsExactly(PUBLIC);
    assertThat(asked).containsExactly("example.com.");
  }

  @Test
  void aNameWithoutAddressIsToldAsSuch() {
    refuses(
        Destinations.ofPublic(name -> {
          throw new UnknownHostException(name);
        }),
        Verdict.NAME_NOT_FOUND);
  }
}
