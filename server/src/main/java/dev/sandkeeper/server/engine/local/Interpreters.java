package dev.sandkeeper.server.engine.local;

import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The interpreters of the host that sandboxes share with it. Looked for once per engine, so none is
 * started to learn what a sandbox has.
 *
 * @param node the Node.js of JavaScript and TypeScript
 * @param typeScript what takes the types out of TypeScript; empty without Node.js
 * @param java the Java of a JDK
 * @param r the R of R code
 */
record Interpreters(
    Optional<Path> node, Optional<TypeScript> typeScript, Optional<Path> java, Optional<Path> r) {

  private static final Logger logger = LoggerFactory.getLogger(Interpreters.class);

  /** Where Debian and npm put what is there for all. */
  private static final List<String> MODULE_FOLDERS =
      List.of("/usr/local/lib/node_modules", "/usr/lib/node_modules", "/usr/share/nodejs");

  /** Where Debian and others put each JDK. */
  private static final Path JVM_FOLDER = Path.of("/usr/lib/jvm");

  private static final int LEAST_JAVA = 17;

  /** The first number of a version, in quotes. */
  private static final Pattern VERSION = Pattern.compile("\"?([1-9][0-9]{0,3})\\b");

  private static final int PROBE_SECONDS = 10;

  /**
   * What takes the types out.
   *
   * @param module the file of the module {@code typescript}; empty where Node.js does it alone
   */
  record TypeScript(Optional<Path> module) {}

  /** Looks for them. */
  static Interpreters find(LocalEngineSettings settings) {
    Optional<Path> node = Programs.findShared(settings.node());
    Interpreters found =
        new Interpreters(
            node,
            node.flatMap(Interpreters::findTypeScript),
            findJava(settings.java()),
            Programs.findShared(settings.r()));
    for (Language language : EnumSet.complementOf(EnumSet.copyOf(found.languages()))) {
      logger
          .atInfo()
          .addKeyValue("language", language)
          .log("No interpreter in /usr: sandboxes do not run this language");
    }
    return found;
  }

  /** Returns the languages that sandboxes run. */
  Set<Language> languages() {
    Set<Language> languages = EnumSet.of(Language.PYTHON, Language.BASH);
    node.ifPresent(path -> languages.add(Language.JAVASCRIPT));
    typeScript.ifPresent(way -> languages.add(Language.TYPESCRIPT));
    java.ifPresent(path -> languages.add(Language.JAVA));
    r.ifPresent(path -> languages.add(Language.R));
    return Collections.unmodifiableSet(languages);
  }

  /** Returns the agent's arguments for them, each empty when there is none. */
  List<String> agentArguments() {
    return List.of(
        argument(node),
        argument(typeScript.flatMap(TypeScript::module)),
        argument(java),
        argument(r));
  }

  private static String argument(Optional<Path> path) {
    return path.map(Path::toString).orElse("");
  }

  /** Where several are, the system's own comes first, then the newest. */
  private static Optional<Path> findJava(String name) {
    Stream<Path> more = name.contains("/") ? Stream.empty() : installed(name);
    return Stream.concat(Programs.findShared(name).stream(), more)
        .flatMap(Interpreters::real)
        .filter(Interpreters::isJdk)
        .findFirst();
  }

  private static Stream<Path> installed(String name) {
    try (Stream<Path> folders = Files.list(JVM_FOLDER)) {
      return folders
          .map(folder -> folder.resolve("bin").resolve(name))
          .filter(Files::isExecutable)
          .filter(Programs::isShared)
          .sorted(Comparator.comparingInt(path -> -version(path)))
          .toList()
          .stream();
    } catch (IOException e) {
      return Stream.empty();
    }
  }

  private static Stream<Path> real(Path path) {
    try {
      return Stream.of(path.toRealPath());
    } catch (IOException e) {
      return Stream.empty();
    }
  }

  private static boolean isJdk(Path java) {
    return version(java) >= LEAST_JAVA
        && release(java).getProperty("MODULES", "").contains("jdk.jshell");
  }

  private static int version(Path java) {
    Matcher matcher = VERSION.matcher(release(java).getProperty("JAVA_VERSION", ""));
    return matcher.lookingAt() ? Integer.parseInt(matcher.group(1)) : 0;
  }

  /** Reads what the JDK of a {@code bin/java} says of itself. */
  private static Properties release(Path java) {
    Properties properties = new Properties();
    try (Reader reader = Files.newBufferedReader(java.resolveSibling("../release"))) {
      properties.load(reader);
    } catch (IOException | IllegalArgumentException e) {
      // Without it, it is none that can be used.
      properties.clear();
    }
    return properties;
  }

  private static Optional<TypeScript> findTypeScript(Path node) {
    Optional<Path> module =
        MODULE_FOLDERS.stream()
            .map(folder -> Path.of(folder, "typescript/lib/typescript.js"))
            .filter(Programs::isShared)
            .findFirst();
    return module.isPresent() || takesTypesOut(node)
        ? Optional.of(new TypeScript(module))
        : Optional.empty();
  }

  /** Only a run of it tells what Node.js can do. */
  private static boolean takesTypesOut(Path node) {
    String question =
        "process.exit(typeof require('module').stripTypeScriptTypes === 'function' ? 0 : 1)";
    try {
      Process process =
          new ProcessBuilder(node.toString(), "-e", question)
              .redirectErrorStream(true)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .start();
      try {
        return process.waitFor(PROBE_SECONDS, TimeUnit.SECONDS) && process.exitValue() == 0;
      } finally {
        process.destroyForcibly();
      }
    } catch (IOException e) {
      return false;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }
}
