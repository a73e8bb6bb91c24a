package dev.sandkeeper.server;

import dev.sandkeeper.server.access.ApiKeys;
import dev.sandkeeper.server.base.Principal;
import dev.sandkeeper.server.base.Scope;
import dev.sandkeeper.server.base.TenantId;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import java.util.Set;

/** The first API key of an installation: somebody has to make the others. */
final class BootstrapKey {
  private static final TenantId TENANT = new TenantId("default");

  private BootstrapKey() {}

  /**
   * Makes the tenant {@code default} and an admin key of it, whose secret goes to the file for its
   * owner alone to read. Does nothing when the file is there.
   */
  static void ensure(ApiKeys apiKeys, Path file) {
    if (Files.exists(file)) {
      return;
    }
    // It has no row and is never asked for: it only names who made the first key.
    Principal installer =
        new Principal(
            TENANT,
            "bootstrap",
            Set.of(Scope.ADMIN),
            Optional.empty(),
            new Principal.Origin("", ""));
    apiKeys.createTenant(installer, TENANT);
    ApiKeys.Created created =
        apiKeys.create(
            installer,
            TENANT,
            "bootstrap",
            Set.of(Scope.ADMIN, Scope.RUN, Scope.READ),
            Optional.empty(),
            Optional.empty());
    try {
      Path folder = file.toAbsolutePath().getParent();
      Path draft =
          Files.createTempFile(
              folder,
              "key",
              ".new",
              PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
      Files.writeString(draft, created.secret() + "\n");
      Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
