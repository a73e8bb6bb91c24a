package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.guest.GuestPrograms;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What of a host's files a sandbox gets. */
class SkeletonTest {

  @TempDir Path folder;

  private Path host() throws Exception {
    Path host = folder.resolve("host");
    Files.createDirectories(host.resolve("etc/ssl/certs"));
    Files.createDirectories(host.resolve("etc/alternatives"));
    Files.createDirectories(host.resolve("usr/bin"));
    Files.writeString(host.resolve("etc/shadow"), "secret");
    Files.writeString(host.resolve("etc/passwd"), "personal");
    Files.writeString(host.resolve("etc/ssl/certs/ca-certificates.crt"), "certificates");
    Files.createSymbolicLink(host.resolve("etc/alternatives/awk"), Path.of("/usr/bin/mawk"));
    Files.createSymbolicLink(host.resolve("etc/alternatives/awk.1.gz"), Path.of("/usr/share/x"));
    Files.createSymbolicLink(host.resolve("bin"), Path.of("usr/bin"));
    Files.createDirectories(host.resolve("lib64"));
    return host;
  }

  private static List<Path> programs(Skeleton skeleton, String ending) throws IOException {
    try (Stream<Path> files = Files.list(skeleton.folder().resolve("opt/sandkeeper"))) {
      return files.filter(file -> file.toString().endsWith(ending)).toList();
    }
  }

  @Test
  void nothingPersonalIsTaken() throws Exception {
    Skeleton skeleton = Skeleton.build(folder.resolve("skeleton"), host(), "/usr/bin/python3");
    Path etc = skeleton.folder().resolve("etc");

    assertThat(etc.resolve("shadow")).doesNotExist();
    assertThat(etc.resolve("passwd")).content().contains("user:x:1000").doesNotContain("personal");
    assertThat(etc.resolve("ssl/certs/ca-certificates.crt")).hasContent("certificates");
    assertThat(etc.resolve("alternatives/awk")).isSymbolicLink();
    assertThat(etc.resolve("alternatives/awk.1.gz"))
        .satisfies(path -> assertThat(Files.isSymbolicLink(path)).isFalse());
  }

  @Test
  void topFoldersAreAsTheHostHasThem() throws Exception {
    Skeleton skeleton = Skeleton.build(folder.resolve("skeleton"), host(), "/usr/bin/python3");

    assertThat(skeleton.folder().resolve("bin")).isSymbolicLink();
    assertThat(skeleton.boundFolders()).containsExactly("usr", "lib64");
    assertThat(Files.getAttribute(skeleton.folder().resolve("tmp"), "unix:mode"))
        .isEqualTo(0041777);
  }

  @Test
  void agentIsCompiledWhereThatWorksAndTakenAsItIsElsewhere() throws Exception {
    Skeleton compiled = Skeleton.build(folder.resolve("one"), host(), "/usr/bin/python3");
    assertThat(compiled.agentArguments())
        .containsExactly("/usr/bin/python3", "-I", "-S", "/opt/sandkeeper/agent.pyc");
    assertThat(programs(compiled, ".pyc")).hasSameSizeAs(GuestPrograms.PYTHON);
    assertThat(programs(compiled, ".py")).isEmpty();

    Skeleton asItIs = Skeleton.build(folder.resolve("two"), folder.resolve("host"), "/bin/false");
    assertThat(asItIs.agentArguments()).endsWith("/opt/sandkeeper/agent.py");
    assertThat(programs(asItIs, ".py")).hasSameSizeAs(GuestPrograms.PYTHON);
  }

  @Test
  void whatNodeRunsLiesBesideTheAgent() throws Exception {
    Skeleton skeleton = Skeleton.build(folder.resolve("skeleton"), host(), "/usr/bin/python3");

    assertThat(skeleton.folder().resolve("opt/sandkeeper"))
        .isDirectoryContaining("glob:**/context.js")
        .isDirectoryContaining("glob:**/rewrite.js")
        .isDirectoryContaining("glob:**/acorn.js");
  }

  @Test
  void buildingAgainReplaces() throws Exception {
    Path host = host();
    Skeleton.build(folder.resolve("skeleton"), host, "/usr/bin/python3");
    Files.writeString(folder.resolve("skeleton/etc/leftover"), "x");

    Skeleton.build(folder.resolve("skeleton"), host, "/usr/bin/python3");

    assertThat(folder.resolve("skeleton/etc/leftover")).doesNotExist();
  }
}
