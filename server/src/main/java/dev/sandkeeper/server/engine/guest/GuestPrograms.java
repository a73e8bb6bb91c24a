package dev.sandkeeper.server.engine.guest;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What the agent consists of, and what it has others run, as packed beside these classes. */
public final class GuestPrograms {

  /** Where it is in every sandbox. */
  public static final String FOLDER = "/opt/sandkeeper";

  /** The agent and its modules, without the ending of their names; the agent is the first. */
  public static final List<String> PYTHON =
      List.of(
          "agent",
          "sandkeeper_wire",
          "sandkeeper_processes",
          "sandkeeper_streams",
          "sandkeeper_executions",
          "sandkeeper_commands",
          "sandkeeper_contexts",
          "sandkeeper_files",
          "sandkeeper_python",
          "sandkeeper_languages",
          "sandkeeper_cells",
          "sandkeeper_zygote",
          "sandkeeper_archives",
          "sandkeeper_watch",
          "sandkeeper_ports",
          "sandkeeper_egress");

  /** What Node.js, Java and R run for code in those languages. */
  private static final List<String> CONTEXTS =
      List.of(
          "context.js",
          "display.js",
          "rewrite.js",
          "typescript.js",
          "JavaContext.java",
          "context.R");

  /** The parser that {@code rewrite.js} uses. */
  private static final String ACORN = "/META-INF/resources/webjars/acorn/8.15.0/dist/acorn.js";

  private GuestPrograms() {}

  /** Returns the source of one of {@link #PYTHON}. */
  public static byte[] python(String name) {
    return bytes(name + ".py");
  }

  /** Returns what is not Python, by file name. */
  public static Map<String, byte[]> contexts() {
    Map<String, byte[]> files = new LinkedHashMap<>();
    CONTEXTS.forEach(name -> files.put(name, bytes(name)));
    files.put("acorn.js", bytes(ACORN));
    return files;
  }

  /** Returns all of it by file name, the Python as it was written. */
  public static Map<String, byte[]> sources() {
    Map<String, byte[]> files = contexts();
    PYTHON.forEach(name -> files.put(name + ".py", python(name)));
    return files;
  }

  private static byte[] bytes(String name) {
    try (InputStream stream = GuestPrograms.class.getResourceAsStream(name)) {
      if (stream == null) {
        throw new IllegalStateException("the resource " + name + " is not packed with the agent");
      }
      return stream.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
