package dev.sandkeeper.server.store.database;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermission;
import java.util.EnumSet;
import java.util.HexFormat;
import java.util.Set;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.tukaani.xz.XZInputStream;

/** Unpacks the PostgreSQL that comes with the server. */
final class PostgresBinaries {
  private static final Logger logger = LoggerFactory.getLogger(PostgresBinaries.class);
  private static final String ARCHIVE = "/postgres-linux-x86_64.txz";

  private PostgresBinaries() {}

  /**
   * Unpacks the binaries below a folder unless they are there.
   *
   * @return the folder that holds {@code bin}, {@code lib} and {@code share}
   */
  static Path unpack(Path folder) throws IOException {
    URL archive = PostgresBinaries.class.getResource(ARCHIVE);
    if (archive == null) {
      throw new DatabaseException(
          "This server comes without PostgreSQL for this machine (expected: Linux on x86-64)."
              + " Configure an outside database.");
    }
    Path home = folder.resolve("binaries-" + version(archive));
    if (Files.isDirectory(home)) {
      return home;
    }
    logger.atInfo().addKeyValue("folder", home).log("Unpacking PostgreSQL.");
    Files.createDirectories(folder);
    Path unfinished = Files.createTempDirectory(folder, "unpacking-");
    try (InputStream input = archive.openStream();
        TarArchiveInputStream tar =
            new TarArchiveInputStream(new XZInputStream(new BufferedInputStream(input)))) {
      unpack(tar, unfinished);
    }
    // Complete by its name: only what was wholly written and is on the disk gets it.
    Programs.run(Programs.direct("sync", "--file-system", unfinished.toString()));
    Files.move(unfinished, home, StandardCopyOption.ATOMIC_MOVE);
    return home;
  }

  private static void unpack(TarArchiveInputStream tar, Path target) throws IOException {
    for (TarArchiveEntry entry = tar.getNextEntry(); entry != null; entry = tar.getNextEntry()) {
      Path path = target.resolve(entry.getName()).normalize();
      if (!path.startsWith(target)) {
        throw new IOException("The archive names a path outside itself: " + entry.getName());
      }
      Files.createDirectories(entry.isDirectory() ? path : parent(path));
      if (entry.isSymbolicLink()) {
        Files.createSymbolicLink(path, Path.of(entry.getLinkName()));
      } else if (entry.isFile()) {
        Files.copy(tar, path);
        Files.setPosixFilePermissions(path, permissions(entry.getMode()));
      }
    }
  }

  private static Path parent(Path path) {
    Path parent = path.getParent();
    return parent == null ? path : parent;
  }

  private static Set<PosixFilePermission> permissions(int mode) {
    Set<PosixFilePermission> permissions =
        EnumSet.of(PosixFilePermission.OWNER_READ, PosixFilePermission.OWNER_WRITE);
    if ((mode & 0100) != 0) {
      permissions.add(PosixFilePermission.OWNER_EXECUTE);
    }
    return permissions;
  }

  /** The archive's checksum, which the jar's index knows without reading 15 MB. */
  private static String version(URL archive) throws IOException {
    URLConnection connection = archive.openConnection();
    if (!(connection instanceof JarURLConnection jar)) {
      return "unpacked";
    }
    return HexFormat.of().toHexDigits((int) jar.getJarEntry().getCrc());
  }
}
