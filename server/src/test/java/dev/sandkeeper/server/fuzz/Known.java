package dev.sandkeeper.server.fuzz;

import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Message;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;

/**
 * Values by the names of fields that a server knows: those that a test gives, and the ids that came
 * in answers, so that later messages reach what earlier ones made.
 */
final class Known {
  private static final int MAX_PER_NAME = 24;

  private final Map<String, List<String>> values = new HashMap<>();

  /** Adds values; of too many the oldest that came in answers go. */
  Known add(String name, String... more) {
    for (String value : more) {
      List<String> all = values.computeIfAbsent(name, _ -> new ArrayList<>());
      if (!value.isEmpty() && !all.contains(value)) {
        all.add(value);
      }
      if (all.size() > MAX_PER_NAME) {
        all.remove(all.size() / 2);
      }
    }
    return this;
  }

  /** Adds the ids and page tokens of an answer. */
  void learn(Message answer) {
    answer
        .getAllFields()
        .forEach((field, value) -> {
          for (Object one : field.isRepeated() ? (Collection<?>) value : List.of(value)) {
            if (one instanceof Message part) {
              learn(part);
            } else if (field.getType() == FieldDescriptor.Type.STRING && isId(field.getName())) {
              add(field.getName().replace("next_page_token", "page_token"), (String) one);
            }
          }
        });
  }

  /** Makes a value the one that most messages carry. */
  void prefer(String name, String value) {
    List<String> all = values.computeIfAbsent(name, _ -> new ArrayList<>());
    all.remove(value);
    all.addFirst(value);
  }

  /** Returns a value of a field of that name, or an empty string when none is known. */
  String pick(String name, RandomGenerator random) {
    List<String> all = values.getOrDefault(name, List.of());
    if (all.isEmpty()) {
      return "";
    }
    return random.nextBoolean() ? all.getFirst() : all.get(random.nextInt(all.size()));
  }

  /** Keys are not learnt: the one that calls would be revoked. */
  private static boolean isId(String name) {
    return (name.endsWith("_id") && !name.equals("key_id") && !name.equals("tenant_id"))
        || name.endsWith("page_token");
  }
}
