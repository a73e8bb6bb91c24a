package dev.sandkeeper.client;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.StringWriter;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

// Goal: what the documents show is what compiles.
class ReadmeTest {
  private static final Pattern JAVA = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);

  private static final String AROUND =
      """
      import dev.sandkeeper.client.*;
      import dev.sandkeeper.v1.SandboxServiceGrpc;
      import java.nio.file.Path;
      import java.time.Duration;
      import java.util.concurrent.CompletableFuture;

      class Snippet {
        SandkeeperClient client;
        SandboxHandle sandbox;
        String key;

        void run() throws Exception {
          SNIPPET
        }
      }
      """;

  static Stream<String> snippets() throws IOException {
    String text =
        Files.readString(Path.of("README.md")) + Files.readString(Path.of("../README.md"));
    List<String> found = JAVA.matcher(text).results().map(match -> match.group(1)).toList();
    assertThat(found).hasSizeGreaterThan(5);
    return found.stream();
  }

  @ParameterizedTest
  @MethodSource("snippets")
  void everySnippetCompiles(String snippet, @TempDir Path classes) {
    JavaCompiler compiler = ToolProvider.getSystemJavaCompiler();
    StringWriter problems = new StringWriter();
    boolean compiled =
        compiler
            .getTask(
                problems,
                null,
                null,
                List.of(
                    "--release",
                    "17",
                    "-d",
                    classes.toString(),
                    "-cp",
                    System.getProperty("java.class.path")),
                null,
                List.of(new Source(AROUND.replace("SNIPPET", snippet))))
            .call();

    assertThat(compiled).as(problems + "\n" + snippet).isTrue();
  }

  /** A file that is only in memory. */
  private static final class Source extends SimpleJavaFileObject {
    private final String content;

    Source(String content) {
      super(URI.create("string:///Snippet.java"), JavaFileObject.Kind.SOURCE);
      this.content = content;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return content;
    }
  }
}
