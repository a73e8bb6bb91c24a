package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.sandkeeper.server.base.ContextId;
import dev.sandkeeper.server.engine.EngineContext;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.ExecutionSpec;
import dev.sandkeeper.server.engine.ExecutionSpec.Language;
import dev.sandkeeper.server.engine.Recording;
import dev.sandkeeper.server.engine.SandboxSpec;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Python contexts that are forked with a template's modules loaded, in a real sandbox. */
class LocalEngineZygoteTest {
  private static final String IS_LOADED = "import sys\nprint('numpy' in sys.modules)\n";

  /** An agent has less, and a zygote with numpy more. */
  private static final long LOADED_KIB = 20_000;

  private static final Duration LOADING = Duration.ofSeconds(60);

  private EngineFixture fixture;
  private EngineSandbox sandbox;
  private int count;

  @BeforeEach
  void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = create(List.of("no_such_module", "numpy"), Map.of("OMP_NUM_THREADS", "1"));
  }

  @AfterEach
  void destroy() throws Exception {
    fixture.close();
  }

  private EngineSandbox create(List<String> imports, Map<String, String> environment) {
    SandboxSpec usual = EngineFixture.spec();
    return fixture
        .engine()
        .create(
            new SandboxSpec(
                usual.id(),
                7,
                Optional.empty(),
                Optional.empty(),
                2,
                512,
                64,
                64,
                environment,
                imports,
                false,
                usual.paid()));
  }

  private String context() {
    String id = "c" + count++;
    sandbox
        .contexts()
        .create(
            new EngineContext(
                new ContextId(id), Language.PYTHON, Optional.empty(), Optional.of(Instant.EPOCH)),
            1000);
    return id;
  }

  private Recording run(String context, String source) throws Exception {
    return EngineFixture.run(
        sandbox,
        new ExecutionSpec.Code(Language.PYTHON, source, Optional.of(new ContextId(context))));
  }

  /** Makes contexts until one has the modules, and returns that. */
  private String loadedContext() {
    return await().atMost(LOADING).until(this::tryContext, id -> !id.isEmpty());
  }

  private String tryContext() throws Exception {
    String id = context();
    if (run(id, IS_LOADED).stdout().equals("True\n")) {
      return id;
    }
    sandbox.contexts().delete(new ContextId(id));
    return "";
  }

  @Test
  void contextsComeWithTheModulesOnceTheyAreLoaded() throws Exception {
    assertThat(run(context(), IS_LOADED).stdout()).isEqualTo("False\n");

    String loaded = loadedContext();

    assertThat(run(loaded, "import numpy\nint(numpy.arange(5).sum())").results())
        .containsEntry("text/plain", "10");
    assertThat(EngineFixture.run(sandbox, EngineFixture.python(IS_LOADED)).stdout())
        .as("the default context, begun later")
        .isEqualTo("True\n");
    sandbox.contexts().restart(new ContextId(loaded));
    assertThat(run(loaded, IS_LOADED).stdout()).as("restarted").isEqualTo("True\n");
  }

  @Test
  void aSandboxWithOnlyItsDefaultContextHasNoZygote() throws Exception {
    EngineFixture.run(sandbox, EngineFixture.python("x = 1"));
    sandbox.contexts().restart(new ContextId("python"));

    assertThat(EngineFixture.run(sandbox, EngineFixture.python(IS_LOADED)).stdout())
        .isEqualTo("False\n");
    // Process 1, the context's supervisor, and one that waits for a command.
    await().untilAsserted(() -> assertThat(ofAgent()).hasSize(3));
  }

  @Test
  void itIsLikeAContextMadeWithoutModules() throws Exception {
    String facts =
        """
        import os, resource, signal, sys
        status = dict(line.split(':', 1) for line in open('/proc/self/status'))
        for name in ('Uid', 'Gid', 'Groups', 'CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb',
                     'NoNewPrivs', 'Seccomp', 'SigIgn', 'SigBlk', 'SigCgt', 'Threads'):
            print(name, status[name].split())
        for fd in os.listdir('/proc/self/fd'):
            if os.path.lexists('/proc/self/fd/' + fd):
                name = os.readlink('/proc/self/fd/' + fd).partition(':')[0]
                print('fd', min(int(fd), 3), name)
        print(sorted(os.environ.items()), os.getcwd(), sys.path, sys.argv, sys.flags)
        print([resource.getrlimit(number) for number in range(16)], os.getpriority(0, 0))
        print(open('/proc/self/cmdline').read(), open('/proc/self/oom_score_adj').read())
        print(os.getpid() == os.getsid(0), os.umask(0o22), open('/proc/self/cgroup').read())
        print(sorted(name for name in dir() if name != 'fd'), __name__)
        print(os.access('/proc/self/environ', os.R_OK), os.times().children_user)
        """;
    String plain = run(context(), facts).stdout();

    assertThat(run(loadedContext(), facts).stdout().replace("'sys', ", ""))
        .isEqualTo(plain.replace("'sys', ", ""))
        .contains("Uid ['1000', '1000', '1000', '1000']", "CapPrm ['0000000000000000']");
  }

  @Test
  void codeFindsNoModuleOfTheAgent() throws Exception {
    String found = "import sys\n[name for name in sys.modules if 'sandkeeper' in name]";

    assertThat(run(context(), found).results()).containsEntry("text/plain", "[]");
    assertThat(run(loadedContext(), found).results()).containsEntry("text/plain", "[]");
  }

  @Test
  void contextsShareNeitherRandomNumbersNorWhatTheyChange() throws Exception {
    String one = loadedContext();
    String numbers = "import numpy, random\n(random.random(), float(numpy.random.random()))";
    String two = loadedContext();

    Map<String, String> ofOne = run(one, numbers).results();
    assertThat(run(two, numbers).results()).isNotEqualTo(ofOne);
    String half = ".*, 0\\.\\d+\\)";
    assertThat(ofOne.get("text/plain")).matches("\\(0\\.\\d+" + half);
    run(one, "numpy.arange = sum = None\nimport os\nos.getcwd = None\nsys.path.clear()");
    assertThat(run(two, "import numpy, os\nint(numpy.arange(5).sum()), os.getcwd()").results())
        .containsEntry("text/plain", "(10, '/home/user')");
    assertThat(run(loadedContext(), "import numpy\nint(numpy.arange(5).sum())").results())
        .containsEntry("text/plain", "10");
  }

  @Test
  void usageIsThatOfTheContextAlone() throws Exception {
    loadedContext();
    Recording small = run(loadedContext(), "1");
    Recording large = run(loadedContext(), "x = b'x' * (64 << 20)");

    assertThat(small.await().peakMemoryBytes().getAsLong()).isLessThan(20L << 20);
    assertThat(small.await().cpuMicros().getAsLong()).isLessThan(50_000);
    assertThat(large.await().peakMemoryBytes().getAsLong()).isBetween(64L << 20, 90L << 20);
  }

  @Test
  void hostileCodeReachesNothingThatLaterContextsComeFrom() throws Exception {
    String hostile = loadedContext();
    // Process 1, the zygote, three supervisors and the spare interpreter; a fork has one more
    // meanwhile.
    await().during(Duration.ofMillis(200)).until(() -> ofAgent().size() == 6);
    List<Long> before = ofAgent();
    List<Integer> guessed = before.stream().map(LocalEngineZygoteTest::insideOf).toList();

    Recording attack =
        run(
            hostile,
            "guessed = "
                + guessed
                + """

                import ctypes, os, resource, signal
                libc = ctypes.CDLL(None, use_errno=True)
                numpy = __import__('numpy')
                numpy.arange = None
                for pid in guessed:
                    tries = {
                        'kill': lambda: os.kill(pid, 9),
                        'stop': lambda: os.kill(pid, signal.SIGSTOP),
                        'memory': lambda: open('/proc/%d/mem' % pid, 'r+b'),
                        'descriptors': lambda: os.listdir('/proc/%d/fd' % pid),
                        'limit': lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (5, 5)),
                        'priority': lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
                        'processor': lambda: os.sched_setaffinity(pid, {0}),
                    }
                    for name, attempt in tries.items():
                        try:
                            attempt()
                            print(pid, name)
                        except OSError:
                            pass
                    if libc.ptrace(16, pid, 0, 0) == 0:
                        print(pid, 'trace')
                for fd in range(3, 100):
                    try:
                        os.write(fd, b'\\0\\0\\0\\0\\x07' + b'\\xff' * 8)
                    except OSError:
                        pass
                os.kill(-1, 9)
                os._exit(0)
                """);

    assertThat(attack.stdout()).isEmpty();
    assertThat(attack.errors()).isEmpty();
    assertThat(ofAgent()).containsAll(before);
    assertThat(run(loadedContext(), "import numpy\nint(numpy.arange(5).sum())").results())
        .containsEntry("text/plain", "10");
  }

  @Test
  void anotherIsMadeWhenItEnds() throws Exception {
    String kept = loadedContext();
    run(kept, "x = 1");
    String parent = run(kept, "import os\nos.getppid()").results().get("text/plain");
    List<Long> loaded =
        ofAgent().stream()
            .filter(pid -> residentKib(pid) > LOADED_KIB)
            .filter(pid -> insideOf(pid) != Integer.parseInt(parent))
            .toList();
    loaded.forEach(pid -> ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly));
    await().until(() -> Collections.disjoint(ofAgent(), loaded));

    assertThat(run(context(), "'works'").results()).containsEntry("text/plain", "'works'");
    assertThat(run(kept, "x").results()).containsEntry("text/plain", "1");
    loadedContext();
  }

  @Test
  void killedAtAnyMomentItTakesNothingWithIt() throws Exception {
    run(context(), "1");
    for (int i = 0; i < 15; i++) {
      String busy = context();
      int supervisor =
          Integer.parseInt(run(busy, "import os\nos.getppid()").results().get("text/plain"));
      // The zygote and whatever it has made or is about to.
      ofAgent().stream()
          .filter(pid -> insideOf(pid) != 1 && insideOf(pid) != supervisor)
          .forEach(pid -> ProcessHandle.of(pid).ifPresent(ProcessHandle::destroyForcibly));

      assertThat(run(busy, "'on'").results()).containsEntry("text/plain", "'on'");
      sandbox.contexts().delete(new ContextId(busy));
    }
  }

  @Test
  void itLivesThroughPausesAndRestartsOfTheServer() throws Exception {
    loadedContext();
    sandbox.pause();
    sandbox.resume();
    loadedContext();

    fixture.restart();
    sandbox = fixture.engine().adopt(sandbox.id(), 7).orElseThrow();

    assertThat(run(loadedContext(), "'works'").results()).containsEntry("text/plain", "'works'");
  }

  @Test
  void aSandboxThatIsToStopDoesNotWaitForIt() throws Exception {
    sandbox.contexts().delete(new ContextId(loadedContext()));
    long start = System.nanoTime();

    sandbox.destroy(Duration.ofSeconds(20));

    assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(10));
  }

  @Test
  void modulesThatCannotBeLoadedAreNobodysMatter() throws Exception {
    // One is not there, one ends what loads it, and one prints.
    sandbox = create(List.of("no.such", "unittest.__main__", "this"), Map.of());
    String isLoaded = "import sys\nprint('this' in sys.modules)";
    await()
        .atMost(LOADING)
        .until(() -> run(context(), isLoaded), recording -> recording.stdout().equals("True\n"));

    Recording recording = run(context(), "print('out')");
    assertThat(recording.stdout()).isEqualTo("out\n");
    assertThat(recording.stderr()).isEmpty();
  }

  @Test
  void numbersOfThreadsReachTheModules() throws Exception {
    String threads =
        """
        import numpy
        numpy.ones((500, 500)) @ numpy.ones((500, 500))
        open('/proc/self/status').read().partition('Threads:')[2].split()[0]
        """;

    assertThat(run(loadedContext(), threads).results()).containsEntry("text/plain", "'1'");
  }

  /** Returns the processes that have the user id of process 1. */
  private List<Long> ofAgent() {
    String agent =
        processes().stream()
            .filter(pid -> insideOf(pid) == 1)
            .map(pid -> status(pid, "Uid"))
            .findFirst()
            .orElseThrow();
    return processes().stream().filter(pid -> status(pid, "Uid").equals(agent)).toList();
  }

  private List<Long> processes() {
    LocalEngineSettings settings = fixture.settings();
    CgroupTree tree = CgroupTree.detect(settings.cgroupRoot(), settings.cgroupParent());
    return tree.sandbox(tree.rangeOf(sandbox.id()).orElseThrow(), sandbox.id()).processes();
  }

  private static int insideOf(long pid) {
    return Integer.parseInt(status(pid, "NSpid").replaceAll(".*\\s", ""));
  }

  private static long residentKib(long pid) {
    return Long.parseLong(status(pid, "VmRSS").replace(" kB", ""));
  }

  /** Returns a field of a process, empty words for one that is ending. */
  private static String status(long pid, String field) {
    try (Stream<String> lines = Files.lines(Path.of("/proc", Long.toString(pid), "status"))) {
      return lines
          .filter(line -> line.startsWith(field + ":"))
          .map(line -> line.substring(field.length() + 1).strip())
          .findFirst()
          .orElse("0");
    } catch (IOException | UncheckedIOException e) {
      return "0";
    }
  }
}
