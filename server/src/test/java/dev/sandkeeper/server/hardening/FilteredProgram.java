package dev.sandkeeper.server.hardening;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/** A process of its own that puts the filter on itself and then starts another program. */
final class FilteredProgram {
  private FilteredProgram() {}

  public static void main(String[] command) throws Exception {
    CountDownLatch over = new CountDownLatch(1);
    Thread earlier = Thread.ofPlatform().daemon().start(() -> await(over));
    if (!SystemCallFilter.install()) {
      System.out.println("none");
      return;
    }
    try (var threads = Files.list(Path.of("/proc/self/task"))) {
      for (Path thread : threads.toList()) {
        status(thread).stream()
            .filter(line -> line.startsWith("Seccomp:") || line.startsWith("NoNewPrivs:"))
            .map(line -> "thread " + line.replaceAll("\\s+", " "))
            .forEach(System.out::println);
      }
    }
    int exitCode = new ProcessBuilder(List.of(command)).inheritIO().start().waitFor();
    over.countDown();
    earlier.join();
    System.exit(exitCode);
  }

  private static List<String> status(Path thread) {
    try {
      return Files.readAllLines(thread.resolve("status"));
    } catch (IOException e) {
      return List.of(); // it has ended meanwhile
    }
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
