package dev.sandkeeper.server.hardening;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

// Goal: the script that starts the server leaves it its data folder, and of its rights inside the
// namespace those that making sandboxes takes.
final class ConfineTest {

  /** Bits of chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap. */
  private static final long FILES_AND_IDS = 0b1_1111_1011;

  private static final long SYS_CHROOT = 1L << 18;
  private static final long SYS_PTRACE = 1L << 19;
  private static final long SYS_ADMIN = 1L << 21;
  private static final long SETFCAP = 1L << 31;

  @TempDir private Path folder;
  private Path data = Path.of("");

  @BeforeEach
  void makeDataFolder() throws IOException {
    data = Files.createDirectory(folder.resolve("data folder"));
  }

  private String run(String script, String... options) throws Exception {
    List<String> command = new ArrayList<>(List.of("../deploy/lib/confine"));
    command.addAll(List.of(options));
    command.addAll(List.of("sh", "-c", script, folder.toString()));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().put("SANDKEEPER_DATA_FOLDER", data.toString());
    Process process = builder.start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    process.waitFor();
    return text;
  }

  @Test
  void writesToItsDataFolderOnly() throws Exception {
    Path elsewhere = Files.createDirectory(folder.resolve("elsewhere"));

    String text =
        run(
            """
            cd "$SANDKEEPER_DATA_FOLDER" && echo kept > kept && echo data
            for place in "$0/elsewhere" "$HOME" /tmp /var/tmp "$(pwd)/../elsewhere"; do
              (echo lost > "$place/lost") 2>/dev/null && echo "$place"
            done
            echo over
            """);

    assertThat(text).isEqualTo("data\nover\n");
    assertThat(data.resolve("kept")).hasContent("kept\n");
    assertThat(elsewhere).isEmptyDirectory();
  }

  @Test
  void writesToAFurtherFolderThatIsNamed() throws Exception {
    Path further = Files.createDirectory(folder.resolve("further"));

    run("echo kept > \"$0/further/kept\"", "--writable", further.toString());

    assertThat(further.resolve("kept")).hasContent("kept\n");
  }

  @Test
  void readOnlyStaysSoForWhoeverWouldTurnItBack() throws Exception {
    // The rights for it are there, as sandboxes are mounted with them: what is locked is that the
    // files of others can be written.
    String text =
        run("mount -o remount,bind,rw / 2>/dev/null; (echo lost > /etc/lost) 2>&1 | tail -n 1");

    assertThat(text).containsAnyOf("Permission denied", "Read-only");
  }

  @Test
  void temporaryFilesGoWithIt() throws Exception {
    String text = run("echo lost > \"$TMPDIR/lost\" && echo \"$TMPDIR\"");

    assertThat(text.strip()).isEqualTo(data.resolve("tmp").toString());
    assertThat(data.resolve("tmp")).isEmptyDirectory();
  }

  @Test
  void rightsAreThoseThatSandboxesTake() throws Exception {
    String text = run("grep -E 'CapEff|CapBnd' /proc/self/status");

    assertThat(text.lines().map(line -> Long.parseLong(line.split("\\s+", -1)[1], 16)))
        .hasSize(2)
        .containsOnly(FILES_AND_IDS | SYS_CHROOT | SYS_PTRACE | SYS_ADMIN | SETFCAP);
  }

  @Test
  void processIdStays() throws Exception {
    Process process =
        new ProcessBuilder(
                "env",
                "SANDKEEPER_DATA_FOLDER=" + data,
                "../deploy/lib/confine",
                "sh",
                "-c",
                "echo $$")
            .start();

    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

    assertThat(text.strip()).isEqualTo(Long.toString(process.pid()));
  }

  @Test
  void mistakesAreNamed() throws Exception {
    assertThat(run("echo", "--writable", folder + "/none")).contains("--writable", "/none");
    assertThat(run("echo", "--nonsense")).contains("--nonsense");
  }
}
