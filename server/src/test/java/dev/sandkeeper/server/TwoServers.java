package dev.sandkeeper.server;

import dev.sandkeeper.server.config.ConfigurationLoader;
import dev.sandkeeper.server.store.database.DatabaseExtension;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Gives a test class two whole servers on one database, and races of callers of both. */
final class TwoServers implements BeforeAllCallback, AfterEachCallback, AfterAllCallback {
  private final RunningServer first;
  private final Map<String, String> overrides;
  private final List<EngineAssembly.Added> enginesOfSecond;
  private final boolean booksStaySound;
  private @Nullable Path dataFolder;
  private @Nullable ServerAssembly second;
  private @Nullable ManagedChannel channel;

  /**
   * Runs two servers.
   *
   * @param booksStaySound whether the invariants are checked after each test
   */
  TwoServers(boolean booksStaySound) {
    this(booksStaySound, Map.of(), List.of(), List.of());
  }

  /** Runs two servers with engines of their own beside the local ones. */
  TwoServers(
      boolean booksStaySound,
      Map<String, String> overrides,
      List<EngineAssembly.Added> enginesOfFirst,
      List<EngineAssembly.Added> enginesOfSecond) {
    this.booksStaySound = booksStaySound;
    this.overrides = Map.copyOf(overrides);
    this.enginesOfSecond = List.copyOf(enginesOfSecond);
    first = new RunningServer(overrides, enginesOfFirst);
  }

  /**
   * What came of callers that started from one barrier while an observer sampled the counters on a
   * connection of its own.
   *
   * @param granted callers that got what they asked for
   * @param refused callers that a limit refused
   * @param mostOver the most that any counter was seen above its limit, negative for below
   * @param looks how often the observer looked
   */
  record Race(int granted, int refused, long mostOver, int looks) {}

  @Override
  public void beforeAll(ExtensionContext context) throws Exception {
    first.beforeAll(context);
    Path folder = Files.createTempDirectory("second");
    dataFolder = folder;
    Map<String, String> environment = new HashMap<>(database().environment());
    environment.put("SANDKEEPER_DATA_FOLDER", folder.toString());
    environment.put("SANDKEEPER_SERVER_PORT", "0");
    environment.put("SANDKEEPER_SERVER_SHUTDOWN_GRACE", "0 s");
    environment.put("SANDKEEPER_DATABASE_POOL_SIZE", "8");
    environment.putAll(overrides);
    second =
        ServerAssembly.start(
            ConfigurationLoader.load(Optional.empty(), environment), enginesOfSecond);
    channel = NettyChannelBuilder.forAddress("127.0.0.1", second.port()).usePlaintext().build();
  }

  @Override
  public void afterEach(ExtensionContext context) {
    if (booksStaySound) {
      first.afterEach(context);
    }
  }

  @Override
  public void afterAll(ExtensionContext context) throws Exception {
    if (channel != null) {
      channel.shutdownNow();
      channel.awaitTermination(10, TimeUnit.SECONDS);
    }
    if (second != null) {
      second.close();
    }
    if (dataFolder != null) {
      try (Stream<Path> files = Files.walk(dataFolder)) {
        for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      }
    }
    first.afterAll(context);
  }

  DatabaseExtension database() {
    return first.database();
  }

  /** Returns the administrator, who calls the first server. */
  Caller admin() {
    return first.admin();
  }

  /** Stops the second server. */
  void stopSecond() {
    Objects.requireNonNull(second).close();
  }

  /** Returns the administrator of the first server or the second, by turns. */
  Caller caller(int number) {
    return number % 2 == 0
        ? first.admin()
        : new Caller(Objects.requireNonNull(channel), first.admin().secret());
  }

  /** Has callers of both servers, by turns, make a call at once. */
  Race race(int callers, Consumer<Caller> call) throws Exception {
    CyclicBarrier barrier = new CyclicBarrier(callers + 1);
    AtomicBoolean over = new AtomicBoolean();
    try (ExecutorService executor = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Future<Boolean>> calls = new ArrayList<>();
      for (int i = 0; i < callers; i++) {
        Caller caller = caller(i);
        calls.add(
            executor.submit(
                (Callable<Boolean>)
                    () -> {
                      barrier.await();
                      return granted(caller, call);
                    }));
      }
      Future<long[]> observer =
          executor.submit(
              (Callable<long[]>)
                  () -> {
                    barrier.await();
                    return observe(over);
                  });
      int granted = 0;
      try {
        for (Future<Boolean> future : calls) {
          granted += future.get() ? 1 : 0;
        }
      } finally {
        over.set(true);
      }
      long[] seen = observer.get();
      return new Race(granted, callers - granted, seen[0], (int) seen[1]);
    }
  }

  private static boolean granted(Caller caller, Consumer<Caller> call) {
    try {
      call.accept(caller);
      return true;
    } catch (StatusRuntimeException e) {
      if (e.getStatus().getCode() != Status.Code.RESOURCE_EXHAUSTED) {
        throw e;
      }
      return false;
    }
  }

  private long[] observe(AtomicBoolean over) throws Exception {
    long most = Long.MIN_VALUE;
    long looks = 0;
    try (var connection = database().dataSource().getConnection();
        var statement =
            connection.prepareStatement(
                "select coalesce(max(spent + reserved - amount), 0) from quota_period")) {
      boolean last;
      do {
        last = over.get();
        try (var result = statement.executeQuery()) {
          result.next();
          most = Math.max(most, result.getLong(1));
        }
        looks++;
      } while (!last);
    }
    return new long[] {most, looks};
  }
}
