package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.guest.Guest;
import dev.sandkeeper.server.engine.guest.GuestPrograms;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * The folder every sandbox's root begins as a copy of: folders, links, a small {@code /etc} of its
 * own, and the agent. The host's {@code /usr} is bound beside it, read-only.
 *
 * <p>Made anew when an engine starts, so it follows the host; a running sandbox has its own copy,
 * so it does not change under it.
 */
final class Skeleton {

  /** Folders at the top that a host may have as links into {@code /usr} or as real folders. */
  private static final List<String> USR_FOLDERS =
      List.of("bin", "sbin", "lib", "lib32", "lib64", "libx32");

  /** Parts of the host's {@code /etc} without which its programs do not run; nothing personal. */
  private static final List<String> ETC_COPIED =
      List.of(
          "alternatives",
          "ssl/certs/ca-certificates.crt",
          "ssl/openssl.cnf",
          "ld.so.cache",
          "ld.so.conf",
          "ld.so.conf.d",
          "debian_version",
          "os-release",
          "mime.types",
          "matplotlibrc",
          // Not what an administrator has for all of R, which may have passwords.
          "R/Renviron",
          "R/ldpaths",
          "R/Makeconf",
          "R/repositories",
          "fonts",
          "terminfo");

  /** Pages of manuals, by far the most of what is in {@code /etc/alternatives}. */
  private static final String NOT_COPIED = ".gz";

  /** Takes paths of sources, each with its path inside before it. */
  private static final String COMPILE =
      """
      import py_compile, sys
      for inside, source in zip(sys.argv[1::2], sys.argv[2::2]):
          py_compile.compile(source, source + "c", inside, doraise=True)
      """;

  private static final int COMPILE_SECONDS = 20;

  private final Path folder;
  private final List<String> agentArguments;
  private final List<String> boundFolders;

  private Skeleton(Path folder, List<String> agentArguments, List<String> boundFolders) {
    this.folder = folder;
    this.agentArguments = agentArguments;
    this.boundFolders = boundFolders;
  }

  /**
   * Builds the folder, replacing one that is there.
   *
   * @param folder where
   * @param host the host's root, for tests another
   * @param python the interpreter, by its path on the host and inside
   */
  static Skeleton build(Path folder, Path host, String python) {
    try {
      FileTrees.delete(folder);
      Files.createDirectories(folder);
      for (String name :
          List.of("dev", "etc", "proc", "run/sandkeeper", "sys", "usr", "opt/sandkeeper", "root")) {
        Files.createDirectories(folder.resolve(name));
      }
      openFolder(folder.resolve("tmp"), 01777);
      openFolder(folder.resolve("var/tmp"), 01777);
      openFolder(folder.resolve("home/user"), 0755);
      List<String> bound = new ArrayList<>(List.of("usr"));
      for (String name : USR_FOLDERS) {
        Path original = host.resolve(name);
        if (Files.isSymbolicLink(original)) {
          Files.createSymbolicLink(folder.resolve(name), Files.readSymbolicLink(original));
        } else if (Files.isDirectory(original)) {
          Files.createDirectory(folder.resolve(name));
          bound.add(name);
        }
      }
      writeEtc(folder.resolve("etc"), host.resolve("etc"));
      Path programs = folder.resolve("opt/sandkeeper");
      List<String> agent = List.of(python, "-I", "-S", writePython(programs, python));
      for (Map.Entry<String, byte[]> file : GuestPrograms.contexts().entrySet()) {
        Files.write(programs.resolve(file.getKey()), file.getValue());
      }
      return new Skeleton(folder, agent, List.copyOf(bound));
    } catch (IOException e) {
      throw new UncheckedIOException("cannot build " + folder, e);
    }
  }

  Path folder() {
    return folder;
  }

  /** Returns the command that starts the agent inside, without its own arguments. */
  List<String> agentArguments() {
    return agentArguments;
  }

  /** Returns the top folders that are bound from the host, read-only. */
  List<String> boundFolders() {
    return boundFolders;
  }

  private static void openFolder(Path path, int mode) throws IOException {
    Files.createDirectories(path);
    Files.setAttribute(path, "unix:mode", mode);
  }

  private static void writeEtc(Path etc, Path hostEtc) throws IOException {
    write(
        etc.resolve("passwd"),
        """
        root:x:0:0:root:/root:/usr/sbin/nologin
        agent:x:%d:%d:sandbox agent:/:/usr/sbin/nologin
        user:x:%d:%d:user:/home/user:/bin/bash
        nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
        """
            .formatted(Guest.AGENT_ID, Guest.AGENT_ID, Guest.USER_ID, Guest.USER_ID));
    write(
        etc.resolve("group"),
        """
        root:x:0:
        tty:x:5:
        agent:x:%d:
        user:x:%d:
        nogroup:x:65534:
        """
            .formatted(Guest.AGENT_ID, Guest.USER_ID));
    write(etc.resolve("hosts"), "127.0.0.1 localhost sandbox\n::1 localhost\n");
    write(etc.resolve("hostname"), "sandbox\n");
    write(etc.resolve("nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files\n");
    for (String name : ETC_COPIED) {
      copy(hostEtc.resolve(name), etc.resolve(name));
    }
    try (var folders = Files.newDirectoryStream(hostEtc, "{python3,java-}*")) {
      for (Path interpreter : folders) {
        copy(interpreter, etc.resolve(interpreter.getFileName().toString()));
      }
    }
  }

  private static void write(Path file, String text) throws IOException {
    Files.writeString(file, text);
  }

  /** Copies a file or a tree with its links; what this user may not read is left out. */
  private static void copy(Path from, Path to) throws IOException {
    if (!Files.exists(from, LinkOption.NOFOLLOW_LINKS)) {
      return;
    }
    Files.createDirectories(to.getParent());
    Files.walkFileTree(
        from,
        new SimpleFileVisitor<>() {
          @Override
          public FileVisitResult preVisitDirectory(Path path, BasicFileAttributes attributes)
              throws IOException {
            Files.createDirectories(to.resolve(from.relativize(path)));
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFile(Path path, BasicFileAttributes attributes)
              throws IOException {
            Path target = from.equals(path) ? to : to.resolve(from.relativize(path));
            if (!path.toString().endsWith(NOT_COPIED)
                && (attributes.isSymbolicLink() || Files.isReadable(path))) {
              Files.copy(
                  path, target, LinkOption.NOFOLLOW_LINKS, StandardCopyOption.REPLACE_EXISTING);
            }
            return FileVisitResult.CONTINUE;
          }

          @Override
          public FileVisitResult visitFileFailed(Path path, IOException failure) {
            return FileVisitResult.CONTINUE;
          }
        });
  }

  /**
   * Puts the agent and its modules in place, compiled if the host's Python can: that saves 20 ms
   * per start. One process compiles them all, as Python takes longer to start than for that.
   *
   * @return the agent's path inside
   */
  private static String writePython(Path folder, String python) throws IOException {
    List<String> command = new ArrayList<>(List.of(python, "-I", "-S", "-c", COMPILE));
    List<Path> sources = new ArrayList<>();
    for (String name : GuestPrograms.PYTHON) {
      Path source = folder.resolve(name + ".py");
      Files.write(source, GuestPrograms.python(name));
      sources.add(source);
      command.addAll(List.of(inside(source), source.toString()));
    }
    String agent = inside(sources.getFirst());
    Process process =
        new ProcessBuilder(command)
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .start();
    try {
      if (!process.waitFor(COMPILE_SECONDS, TimeUnit.SECONDS)) {
        process.destroyForcibly();
      } else if (process.exitValue() == 0) {
        // An import would take the source where both are.
        for (Path source : sources) {
          Files.delete(source);
        }
        return agent + "c";
      }
    } catch (InterruptedException e) {
      process.destroyForcibly();
      Thread.currentThread().interrupt();
    }
    return agent;
  }

  private static String inside(Path source) {
    return GuestPrograms.FOLDER + "/" + source.getFileName();
  }
}
