package dev.sandkeeper.server;

import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideInAnyPackage;
import static com.tngtech.archunit.core.domain.JavaClass.Predicates.resideOutsideOfPackages;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

// Goal: the arrows between the rooms run one way, from the front door down, as they are drawn.
final class ArchitectureTest {
  private static final String ROOT = "dev.sandkeeper.server";

  private static final JavaClasses server =
      new ClassFileImporter()
          .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
          .importPackages(ROOT);

  /** The rooms that decide, and hence know no way in or out of the process. */
  private static final String[] DOMAIN_ROOMS =
      rooms(
          "base",
          "net",
          "access",
          "alert",
          "egress",
          "redaction",
          "secret",
          "policy",
          "sandbox",
          "execution",
          "ledger",
          "audit",
          "engine",
          "port");

  private static final String[] OUTSIDE_LIBRARIES = {
    "io.grpc..",
    "com.google.protobuf..",
    "com.google.rpc..",
    "dev.sandkeeper.v1..",
    "com.linecorp.armeria..",
    "org.jooq..",
    "dev.sandkeeper.jooq..",
    "java.sql..",
    "javax.sql..",
    "org.postgresql..",
    "com.zaxxer..",
    "org.flywaydb..",
    "io.opentelemetry..",
    "com.typesafe.."
  };

  /** Each room, with the rooms it may name beside itself. */
  static Stream<Arguments> arrows() {
    return Stream.of(
        arrow("base"),
        arrow("telemetry"),
        arrow("config"),
        arrow("hardening"),
        arrow("redaction", "base"),
        arrow("net"),
        arrow("engine", "base"),
        arrow("audit", "base"),
        arrow("ledger", "base", "engine"),
        arrow("policy", "engine"),
        arrow("access", "base", "audit"),
        arrow("secret", "base", "audit"),
        arrow("alert", "base", "net", "audit", "telemetry"),
        arrow("egress", "base", "net", "audit"),
        arrow("sandbox", "base", "egress", "policy", "engine", "ledger", "audit", "telemetry"),
        arrow(
            "execution",
            "base",
            "redaction",
            "secret",
            "sandbox",
            "engine",
            "ledger",
            "audit",
            "telemetry"),
        arrow("port", "base", "access", "sandbox", "engine", "audit", "telemetry"),
        arrow(
            "api",
            "base",
            "access",
            "alert",
            "egress",
            "port",
            "secret",
            "policy",
            "sandbox",
            "execution",
            "engine",
            "ledger",
            "audit",
            "telemetry"),
        arrow("http", "base", "net", "api", "execution", "engine", "port", "telemetry"),
        arrow("store.database", "base"),
        arrow(
            "store",
            "store.database",
            "base",
            "access",
            "alert",
            "egress",
            "port",
            "secret",
            "policy",
            "sandbox",
            "execution",
            "engine",
            "ledger",
            "audit"),
        arrow("alert.http", "alert", "base"),
        arrow("egress.proxy", "egress", "net", "telemetry"),
        arrow("engine.guest", "engine", "base"),
        arrow("engine.local", "engine.guest", "engine", "base", "telemetry"),
        arrow("engine.e2b", "engine.guest", "engine", "base", "telemetry"),
        arrow("engine.guard", "engine", "base", "telemetry"),
        arrow("transport", "base", "telemetry"));
  }

  @ParameterizedTest
  @MethodSource("arrows")
  void roomNamesOnlyWhatIsBelowIt(String room, List<String> below) {
    List<String> allowed = new ArrayList<>(below);
    allowed.add(room);
    ArchRule rule =
        classes()
            .that()
            .resideInAPackage(ROOT + "." + room)
            .should()
            .onlyDependOnClassesThat(
                resideInAnyPackage(rooms(allowed.toArray(String[]::new)))
                    .or(resideOutsideOfPackages(ROOT + "..")))
            .allowEmptyShould(true);

    rule.check(server);
  }

  @Test
  void domainRoomsKnowNoWireAndNoDatabase() {
    noClasses()
        .that()
        .resideInAnyPackage(DOMAIN_ROOMS)
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(OUTSIDE_LIBRARIES)
        .check(server);
  }

  @Test
  void ledgerTakesOnlyAValueFromTheEngine() {
    noClasses()
        .that()
        .resideInAPackage(ROOT + ".ledger")
        .should()
        .dependOnClassesThat()
        .haveNameMatching("dev\\.sandkeeper\\.server\\.engine\\.(?!UsageReading$).*")
        .check(server);
  }

  @Test
  void adaptersAreNamedByTheCompositionRootOnly() {
    noClasses()
        .that()
        .resideInAPackage(ROOT + "..")
        .and()
        .resideOutsideOfPackages(
            ROOT,
            ROOT + ".store..",
            ROOT + ".engine.guest..",
            ROOT + ".engine.local..",
            ROOT + ".engine.e2b..",
            ROOT + ".engine.guard..",
            ROOT + ".alert.http..",
            ROOT + ".egress.proxy..")
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(
            ROOT + ".store..",
            ROOT + ".engine.guest..",
            ROOT + ".engine.local..",
            ROOT + ".engine.e2b..",
            ROOT + ".engine.guard..",
            ROOT + ".alert.http..",
            ROOT + ".egress.proxy..")
        .check(server);
  }

  @Test
  void roomsHaveNoCycles() {
    slices().matching(ROOT + ".(*)").should().beFreeOfCycles().check(server);
  }

  @Test
  void everyRoomIsDrawn() {
    classes()
        .should()
        .resideInAnyPackage(
            Stream.concat(
                    Stream.of(ROOT), arrows().map(arguments -> ROOT + "." + arguments.get()[0]))
                .toArray(String[]::new))
        .check(server);
  }

  private static Arguments arrow(String room, String... below) {
    return Arguments.of(room, List.of(below));
  }

  private static String[] rooms(String... names) {
    return Stream.of(names).map(name -> ROOT + "." + name).toArray(String[]::new);
  }
}
