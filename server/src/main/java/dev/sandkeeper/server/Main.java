package dev.sandkeeper.server;

import dev.sandkeeper.server.config.Configuration;
import dev.sandkeeper.server.config.ConfigurationException;
import dev.sandkeeper.server.config.ConfigurationLoader;
import dev.sandkeeper.server.engine.EngineException;
import dev.sandkeeper.server.hardening.SystemCallFilter;
import dev.sandkeeper.server.store.database.DatabaseException;
import dev.sandkeeper.server.transport.TlsException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Starts the server: {@code Main [--config FILE]}. Stops it on SIGTERM or SIGINT. */
public final class Main {
  private static final int EXIT_FAILED = 1;
  private static final int EXIT_USAGE = 2;
  private static final Logger logger = LoggerFactory.getLogger(Main.class);

  private Main() {}

  /** Runs until the process is told to stop. */
  public static void main(String[] arguments) {
    Configuration configuration;
    try {
      configuration = ConfigurationLoader.load(configFile(List.of(arguments)), System.getenv());
    } catch (ConfigurationException e) {
      e.problems().forEach(System.err::println);
      System.exit(EXIT_USAGE);
      return;
    } catch (IllegalArgumentException e) {
      System.err.println(e.getMessage());
      System.exit(EXIT_USAGE);
      return;
    }
    try {
      if (!SystemCallFilter.install()) {
        logger.warn("There is no filter of system calls for this machine; the server has none");
      }
      ServerAssembly server = ServerAssembly.start(configuration);
      Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().unstarted(server::close));
      logger
          .atInfo()
          .addKeyValue("port", server.port())
          .addKeyValue("configuration", configuration)
          .log("Serving");
    } catch (DatabaseException | EngineException | StartException | TlsException e) {
      // What an operator can mend: one line that says what, and the rest in the log at debug.
      logger.debug("The server cannot start", e);
      System.err.println("sandkeeper: " + causes(e));
      System.exit(EXIT_FAILED);
    } catch (RuntimeException e) {
      logger.error("The server cannot start", e);
      System.exit(EXIT_FAILED);
    }
  }

  private static Optional<Path> configFile(List<String> arguments) {
    if (arguments.isEmpty()) {
      return Optional.empty();
    }
    if (arguments.size() == 2 && arguments.getFirst().equals("--config")) {
      return Optional.of(Path.of(arguments.get(1)));
    }
    throw new IllegalArgumentException(
        "arguments: " + arguments + " (expected: none, or --config FILE)");
  }

  private static String causes(Throwable failure) {
    StringBuilder text = new StringBuilder(String.valueOf(failure.getMessage()));
    for (Throwable cause = failure.getCause(); cause != null; cause = cause.getCause()) {
      text.append(" (").append(cause.getMessage()).append(')');
    }
    return text.toString();
  }
}
