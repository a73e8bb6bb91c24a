package dev.sandkeeper.scenario;

import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.client.SandkeeperException;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Follows the scenario of {@code proto/scenario}, whose README says what the table means, with the
 * Java client: {@code Scenario TABLE}. {@code client-java/scenario/run} runs it against a client
 * that is installed freshly.
 */
public final class Scenario implements AutoCloseable {
  private static final Pattern VARIABLE = Pattern.compile("\\$\\{(\\w+)}");

  private final Map<String, String> variables = new HashMap<>();
  private final Map<String, SandkeeperClient> clients = new HashMap<>();

  private Scenario() {
    variables.put("run", UUID.randomUUID().toString());
  }

  /** Follows the table; exits with 1 at the first difference. */
  public static void main(String[] arguments) throws IOException {
    if (arguments.length != 1) {
      System.err.println("usage: Scenario TABLE");
      System.exit(2);
    }
    JsonElement table = JsonParser.parseString(Files.readString(Path.of(arguments[0])));
    int passed = 0;
    try (Scenario scenario = new Scenario()) {
      for (JsonElement each : table.getAsJsonObject().getAsJsonArray("steps")) {
        JsonObject step = each.getAsJsonObject();
        String name = step.get("name").getAsString();
        Optional<String> difference = scenario.take(step);
        if (difference.isPresent()) {
          System.out.println("failed " + name + ": " + difference.get());
          System.exit(1);
        }
        System.out.println("ok " + name);
        passed++;
      }
    }
    System.out.println(passed + " passed, 0 failed");
  }

  @Override
  public void close() {
    clients.values().forEach(SandkeeperClient::close);
  }

  /** Takes a step and returns the first difference between what is expected and what came. */
  private Optional<String> take(JsonObject step) throws IOException {
    JsonObject arguments = filled(step.get("arguments")).getAsJsonObject();
    JsonObject result;
    String expectation;
    try {
      result = Actions.run(step.get("action").getAsString(), client(step), arguments);
      expectation = "expect";
    } catch (SandkeeperException e) {
      result = Actions.error(e);
      expectation = "expectError";
    }
    if (!step.has(expectation)) {
      return Optional.of(
          "expected " + (step.has("expect") ? "no " : "an ") + "error, got " + result);
    }
    for (var each : step.getAsJsonObject(expectation).entrySet()) {
      JsonElement expected = filled(each.getValue());
      JsonElement got = at(result, each.getKey());
      if (!holds(expected, got)) {
        return Optional.of(each.getKey() + ": expected " + expected + ", got " + got);
      }
    }
    if (step.has("save")) {
      for (var each : step.getAsJsonObject("save").entrySet()) {
        variables.put(each.getKey(), at(result, each.getValue().getAsString()).getAsString());
      }
    }
    return Optional.empty();
  }

  private SandkeeperClient client(JsonObject step) {
    String target = variable(step.has("target") ? "SANDKEEPER_CUT_TARGET" : "SANDKEEPER_TARGET");
    String key = step.has("key") ? step.get("key").getAsString() : variable("SANDKEEPER_KEY");
    return clients.computeIfAbsent(
        target + " " + key,
        absent -> SandkeeperClient.builder(target).apiKey(key).plaintext().build());
  }

  private static String variable(String name) {
    String value = System.getenv(name);
    if (value == null) {
      throw new IllegalStateException(name + ": absent (see proto/scenario/README.md)");
    }
    return value;
  }

  /** Puts the variables in. */
  private JsonElement filled(JsonElement value) {
    if (value.isJsonObject()) {
      JsonObject object = new JsonObject();
      value.getAsJsonObject().entrySet().forEach(e -> object.add(e.getKey(), filled(e.getValue())));
      return object;
    }
    if (value instanceof JsonPrimitive text && text.isString()) {
      return new JsonPrimitive(
          VARIABLE
              .matcher(text.getAsString())
              .replaceAll(found -> Matcher.quoteReplacement(variables.get(found.group(1)))));
    }
    return value;
  }

  /** Returns what is at a path; null of JSON when there is nothing. */
  private static JsonElement at(JsonElement top, String path) {
    JsonElement found = top;
    for (String name : path.split("\\.", -1)) {
      if (found.isJsonObject() && found.getAsJsonObject().has(name)) {
        found = found.getAsJsonObject().get(name);
      } else if (found.isJsonArray() && Integer.parseInt(name) < found.getAsJsonArray().size()) {
        found = found.getAsJsonArray().get(Integer.parseInt(name));
      } else {
        return JsonNull.INSTANCE;
      }
    }
    return found;
  }

  private static boolean holds(JsonElement expected, JsonElement got) {
    if (!expected.isJsonObject()) {
      return expected.equals(got);
    }
    JsonObject rule = expected.getAsJsonObject();
    if (!got.isJsonPrimitive()) {
      return false;
    }
    return rule.has("matches")
        ? got.getAsJsonPrimitive().isString()
            && Pattern.compile(rule.get("matches").getAsString()).matcher(got.getAsString()).find()
        : new BigDecimal(got.getAsString()).compareTo(rule.get("atLeast").getAsBigDecimal()) >= 0;
  }
}
