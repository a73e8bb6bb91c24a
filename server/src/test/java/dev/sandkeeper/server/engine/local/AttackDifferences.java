package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.ExecutionEnd;
import dev.sandkeeper.server.engine.ExecutionEnd.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * What attacks tell of themselves otherwise on a runtime than on runc, as {@code differences.txt}
 * has it. A difference that is not true any more fails, but for an operator who has the attacks run
 * on a runtime of another version. None changes what the host's side must be.
 */
final class AttackDifferences {

  /**
   * A line of the file.
   *
   * @param what {@code says}, {@code may-say} or {@code ends}
   * @param value a pattern for the beginning of steps that are not held, or the reason of the end
   */
  private record Line(String attack, String what, String value) {}

  private final List<Line> lines = new ArrayList<>();

  /** Whether a difference may also be none. */
  private final boolean lenient;

  private AttackDifferences(boolean lenient) {
    this.lenient = lenient;
  }

  /**
   * Reads those of a runtime; fails where the file names an attack that is not there.
   *
   * @param runtime its name or path
   */
  static AttackDifferences of(String runtime, List<Attack> attacks, boolean lenient)
      throws IOException {
    AttackDifferences differences = new AttackDifferences(lenient);
    String name = String.valueOf(Path.of(runtime).getFileName());
    for (String text : Files.readAllLines(Attack.folder().resolve("differences.txt"))) {
      if (!text.isBlank() && !text.startsWith("#")) {
        String[] words = text.strip().split("\\s+", 4);
        Line line = new Line(words[1], words[2], words[3]);
        assertThat(attacks).as(text).anyMatch(attack -> attack.name().equals(line.attack));
        assertThat(line.what).as(text).isIn("says", "may-say", "ends");
        if (words[0].equals(name)) {
          differences.lines.add(line);
        }
      }
    }
    return differences;
  }

  private List<String> values(Attack attack, String what) {
    return lines.stream()
        .filter(line -> line.attack.equals(attack.name()) && line.what.equals(what))
        .map(Line::value)
        .toList();
  }

  private List<Pattern> steps(Attack attack, String what) {
    return values(attack, what).stream().map(step -> Pattern.compile("BROKEN: " + step)).toList();
  }

  /** Returns the reasons that it may end by here; none when they are those of runc. */
  private Set<String> ends(Attack attack) {
    Set<String> reasons = new HashSet<>(values(attack, "ends"));
    if (reasons.contains(Reason.SANDBOX_ENDED.name())) {
      // What takes long to use everything up may come to its end before.
      reasons.add(Reason.DEADLINE.name());
    }
    return reasons;
  }

  /** Returns whether it takes all of its sandbox along, or may do so. */
  boolean endsTheSandbox(Attack attack) {
    return ends(attack).contains(Reason.SANDBOX_ENDED.name());
  }

  /** Fails when it ended otherwise than it must here. */
  void assertEnd(Attack attack, ExecutionEnd end, String said) {
    Set<String> reasons = ends(attack);
    String reason = end.reason().name();
    if (lenient ? reasons.contains(reason) : !reasons.isEmpty()) {
      assertThat(reason).as(said).isIn(reasons);
      return;
    }
    assertThat(end.reason()).as(said).isIn(attack.ends());
    if (attack.exitCode().isPresent()) {
      assertThat(end.exitCode()).as(said).isEqualTo(attack.exitCode());
    }
  }

  /** Fails when other steps were not held than those listed, or when one of those was. */
  void assertHeld(Attack attack, String said) {
    List<String> broken = said.lines().filter(line -> line.startsWith("BROKEN:")).toList();
    List<Pattern> expected = steps(attack, "says");
    List<Pattern> possible = new ArrayList<>(steps(attack, "may-say"));
    possible.addAll(expected);
    assertThat(broken)
        .as(said)
        .allMatch(line -> possible.stream().anyMatch(step -> step.matcher(line).lookingAt()));
    for (Pattern step : lenient ? List.<Pattern>of() : expected) {
      assertThat(broken).as(said).anyMatch(line -> step.matcher(line).lookingAt());
    }
    if (ends(attack).isEmpty()) {
      assertThat(said).containsAnyOf("held: ", "BROKEN: ");
    }
  }
}
