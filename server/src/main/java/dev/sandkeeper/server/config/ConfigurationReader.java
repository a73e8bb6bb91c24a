package dev.sandkeeper.server.config;

import com.typesafe.config.Config;
import com.typesafe.config.ConfigException;
import com.typesafe.config.ConfigValueType;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Pattern;

/**
 * Reads keys with their types and ranges, noting each problem and going on with the default, so
 * that one start shows every problem.
 */
final class ConfigurationReader {
  private static final Pattern COMMA = Pattern.compile(",");
  private static final Pattern ORIGIN =
      Pattern.compile(
          "\\*|https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\\[[0-9a-f:]+](:[0-9]{1,5})?");

  private static final Pattern PORT_URL =
      Pattern.compile(
          "https?://\\{port}-\\{sandbox}\\.[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?/?");

  private final Config config;
  private final Config defaults;
  private final List<String> problems;
  private final Map<String, String> effective = new LinkedHashMap<>();

  /**
   * Reads from the given configuration.
   *
   * @param config has every key
   * @param defaults the shipped values, all of them right
   * @param problems gets what is wrong
   */
  ConfigurationReader(Config config, Config defaults, List<String> problems) {
    this.config = config;
    this.defaults = defaults;
    this.problems = problems;
  }

  /** Returns every key read so far with its value in words. */
  Map<String, String> effective() {
    return effective;
  }

  String text(String key) {
    String value = read(key, source -> source.getString(key));
    effective.put(key, '"' + value + '"');
    return value;
  }

  String requiredText(String key) {
    String value = text(key);
    if (value.isBlank()) {
      problems.add(key + ": is empty (expected: a value)");
    }
    return value;
  }

  Optional<String> optionalText(String key) {
    return Optional.of(text(key)).filter(value -> !value.isBlank());
  }

  Secret secret(String key) {
    Secret value = new Secret(read(key, source -> source.getString(key)));
    effective.put(key, value.value().isEmpty() ? "\"\"" : value.toString());
    return value;
  }

  Path path(String key) {
    String value = requiredText(key);
    try {
      return Path.of(value);
    } catch (InvalidPathException e) {
      problems.add(key + ": is not a path");
      return Path.of(defaults.getString(key));
    }
  }

  Optional<URI> httpUri(String key) {
    return optionalText(key)
        .flatMap(value -> {
          Optional<URI> uri = parseHttpUri(value);
          if (uri.isEmpty()) {
            problems.add(key + ": " + value + " (expected: http://... or https://...)");
          }
          return uri;
        });
  }

  /** Reads the URL by which ports are named, with {@code {port}} and {@code {sandbox}} in it. */
  Optional<String> portUrl(String key) {
    Optional<String> url = optionalText(key);
    url.filter(value -> !PORT_URL.matcher(value).matches())
        .ifPresent(value ->
            problems.add(
                key
                    + ": "
                    + value
                    + " (expected: https://{port}-{sandbox}.sandboxes.example.com)"));
    return url;
  }

  /** Reads a list of texts; as one text, as in the environment, they stand between commas. */
  List<String> texts(String key) {
    List<String> values =
        read(
            key,
            source ->
                source.getValue(key).valueType() == ConfigValueType.STRING
                    ? COMMA.splitAsStream(source.getString(key)).toList()
                    : source.getStringList(key));
    List<String> texts =
        values.stream().map(String::strip).filter(value -> !value.isEmpty()).toList();
    effective.put(key, texts.toString());
    return texts;
  }

  /** Reads a list of web origins as {@link #texts}. */
  List<String> origins(String key) {
    List<String> origins = texts(key);
    for (String origin : origins) {
      if (!ORIGIN.matcher(origin).matches()) {
        problems.add(
            key + ": " + origin + " (expected: * or an origin such as https://app.example:8443)");
      }
    }
    return origins;
  }

  boolean flag(String key) {
    boolean value = read(key, source -> source.getBoolean(key));
    effective.put(key, Boolean.toString(value));
    return value;
  }

  int integer(String key, int min, int max) {
    long value = read(key, source -> source.getLong(key));
    effective.put(key, Long.toString(value));
    checkRange(key, value, (long) min, (long) max);
    return Math.clamp(value, min, max);
  }

  long bytes(String key, long min, long max) {
    long value = read(key, source -> source.getBytes(key));
    effective.put(key, value + " B");
    if (value < min || value > max) {
      problems.add(key + ": " + value + " B (expected: " + min + " B to " + max + " B)");
    }
    return value;
  }

  Duration duration(String key, Duration min, Duration max) {
    Duration value = read(key, source -> source.getDuration(key));
    effective.put(key, value.toString());
    checkRange(key, value, min, max);
    return value;
  }

  private <T extends Comparable<T>> void checkRange(String key, T value, T min, T max) {
    if (value.compareTo(min) < 0 || value.compareTo(max) > 0) {
      problems.add(key + ": " + value + " (expected: " + min + " to " + max + ")");
    }
  }

  private <T> T read(String key, Function<Config, T> getter) {
    try {
      return getter.apply(config);
    } catch (ConfigException e) {
      // The library's message may quote the value, and the value may be a secret.
      problems.add(
          key
              + ": has a wrong type or unit (expected: as in "
              + defaults.getValue(key).render()
              + ")");
      return getter.apply(defaults);
    }
  }

  private static Optional<URI> parseHttpUri(String value) {
    try {
      URI uri = new URI(value);
      boolean isHttp = "http".equals(uri.getScheme()) || "https".equals(uri.getScheme());
      return isHttp && uri.getHost() != null ? Optional.of(uri) : Optional.empty();
    } catch (URISyntaxException e) {
      return Optional.empty();
    }
  }
}
