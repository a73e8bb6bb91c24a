package dev.sandkeeper.server.api;

import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Makes commands of source code: a process of its own, with arguments and an input. */
final class SourcePrograms {
  private static final String TYPESCRIPT = resource("run-typescript.js");

  /** Takes the program, the file's name, the source and the program's arguments. */
  private static final String FROM_FILE =
      "set -e; folder=$(mktemp -d); file=$folder/$1; printf %s \"$2\" >\"$file\"; shift 2;"
          + " exec \"$0\" \"$file\" \"$@\"";

  private SourcePrograms() {}

  /** Returns the command that runs a source; what is appended to it are the program's arguments. */
  static List<String> command(Language language, String source) {
    return switch (language) {
      case PYTHON -> List.of("python3", "-c", source);
      case BASH -> List.of("bash", "-c", source, "bash");
      case JAVASCRIPT -> List.of("node", "-e", source, "--");
      case TYPESCRIPT -> List.of("node", "-e", TYPESCRIPT, "--", source);
      case JAVA -> fromFile("java", "Main.java", source);
      case R -> fromFile("Rscript", "main.R", source);
    };
  }

  /** Has an interpreter that takes no source as an argument read it from a file of its own. */
  private static List<String> fromFile(String program, String name, String source) {
    return List.of("bash", "-c", FROM_FILE, program, name, source);
  }

  private static String resource(String name) {
    try (InputStream in = SourcePrograms.class.getResourceAsStream(name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + name, e);
    }
  }
}
