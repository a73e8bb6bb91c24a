package dev.sandkeeper.server.engine.local;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/** Reads the small files of control groups; what cannot be read is absent. */
final class CgroupFiles {

  private CgroupFiles() {}

  /** Returns the one line of a file. */
  static Optional<String> text(Path file) {
    try {
      return Optional.of(Files.readString(file).strip());
    } catch (IOException e) {
      return Optional.empty();
    }
  }

  /** Returns the one number in a file; empty also for {@code max}. */
  static OptionalLong number(Path file) {
    return text(file).map(CgroupFiles::parse).orElse(OptionalLong.empty());
  }

  /** Returns the number after a key in a file of {@code key number} lines. */
  static OptionalLong keyed(Path file, String key) {
    try {
      for (String line : Files.readAllLines(file)) {
        if (line.startsWith(key)
            && line.length() > key.length()
            && line.charAt(key.length()) == ' ') {
          return parse(line.substring(key.length() + 1).strip());
        }
      }
    } catch (IOException e) {
      return OptionalLong.empty();
    }
    return OptionalLong.empty();
  }

  /** Returns the process ids listed in a group's folder. */
  static List<Long> processes(Path folder) {
    try {
      return Files.readAllLines(folder.resolve("cgroup.procs")).stream()
          .filter(line -> !line.isBlank())
          .map(Long::valueOf)
          .toList();
    } catch (IOException e) {
      return List.of();
    }
  }

  private static OptionalLong parse(String text) {
    try {
      long value = Long.parseLong(text);
      return value < 0 ? OptionalLong.empty() : OptionalLong.of(value);
    } catch (NumberFormatException e) {
      return OptionalLong.empty();
    }
  }

  /**
   * Has a group go after the others beside it, or as they do.
   *
   * @param weightFile for kernels that know no idle groups
   * @param weight what groups weigh
   */
  static void giveWay(Path group, boolean gives, String weightFile, int weight) throws IOException {
    Path idle = group.resolve("cpu.idle");
    if (Files.exists(idle)) {
      write(idle, gives ? 1 : 0);
    } else {
      write(group.resolve(weightFile), gives ? weight / 8 : weight);
    }
  }

  /**
   * Writes to a file of the kernel's. Never makes one: in a wrong folder that would seem to work.
   */
  static void write(Path file, Object value) throws IOException {
    Files.writeString(
        file, value + "\n", StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING);
  }
}
