package dev.sandkeeper.server.policy;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The commands in a line for the shell. */
class ShellLineTest {
  private static final long SEED = 20_251_129;

  @ParameterizedTest
  @CsvSource(
      delimiter = '~',
      quoteCharacter = '`',
      value = {
        "ls ~ ls",
        "ls -l; rm x && echo y || cat z ~ ls -l,rm x,echo y,cat z",
        "cat a | grep b & wait ~ cat a,grep b,wait",
        "A=1 B='x y' env C=2 curl -s u ~ env C=2 curl -s u,curl -s u",
        "if test -e a; then rm a; else ls; fi ~ test -e a,rm a,ls",
        "for f in *; do rm $f; done ~ rm $f",
        "while true; do sleep 1; done ~ true,sleep 1",
        "echo \"a $(curl x) b\" ~ curl x,echo a  b",
        "(cd a; make) > log 2>&1 ~ cd a,make",
        "{ id; } < in ~ id",
        "'c'\"ur\"l x ~ curl x",
        "c\\url x ~ curl x",
        "echo 'a; rm b' ~ echo a; rm b",
        "ls # rm x ~ ls",
        "bash -c 'rm x; ls' ~ bash -c rm x; ls,rm x,ls",
        "eval rm x ~ eval rm x,rm x",
        "timeout 5s nice -n 5 curl x ~ timeout 5s nice -n 5 curl x,nice -n 5 curl x,curl x",
        "find . | xargs -0 rm -f ~ find .,xargs -0 rm -f,rm -f",
        "diff <(ls a) <(ls b) ~ ls a,ls b,diff",
        "! /usr/bin/curl x ~ /usr/bin/curl x"
      })
  void commandsAreFound(String line, String expected) {
    assertThat(String.join(",", texts(line))).isEqualTo(expected);
  }

  @Test
  void backquotesAndHereDocumentsAreSeen() {
    assertThat(texts("echo `id -u`")).containsExactly("id -u", "echo ");
    assertThat(texts("cat > f <<'EOF'\nrm x\nEOF\nls")).containsExactly("cat", "ls");
    assertThat(texts("cat <<< word; ls")).containsExactly("cat", "ls");
  }

  @Test
  void aLineForTheShellNeedsNoShellToBeAllowed() {
    assertThat(ShellLine.commands(List.of("/bin/bash", "-c", "ls")))
        .extracting(SimpleCommand::text)
        .containsExactly("ls");
    assertThat(ShellLine.commands(List.of("bash", "-c", "ls")))
        .extracting(SimpleCommand::text)
        .containsExactly("bash -c ls", "ls");
  }

  @Test
  void whateverIsWrittenIsGoneThrough() {
    Random random = new Random(SEED);
    String alphabet = "ab '\"\\$()`{};&|<>\n#=-";
    for (int i = 0; i < 20_000; i++) {
      StringBuilder line = new StringBuilder();
      for (int j = random.nextInt(40); j > 0; j--) {
        line.append(alphabet.charAt(random.nextInt(alphabet.length())));
      }
      assertThat(ShellLine.commands(line.toString())).isNotNull();
    }
    assertThat(texts("(".repeat(100_000))).isEmpty();
    assertThat(texts("env ".repeat(1000)).size()).isLessThan(20);
  }

  private static List<String> texts(String line) {
    return ShellLine.commands(line).stream().map(SimpleCommand::text).toList();
  }
}
