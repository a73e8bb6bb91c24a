package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandkeeper.server.engine.UsageReading;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The sums of a meter, over a group and a clock that the test sets. */
class MeterTest {

  private static final long MIB = 1 << 20;
  private static final long SECOND = 1_000_000_000;

  @TempDir Path folder;

  private final FakeCgroup cgroup = new FakeCgroup();
  private long now = 5 * SECOND;

  private static final class FakeCgroup implements Cgroup {
    private OptionalLong cpu = OptionalLong.of(0);
    private OptionalLong memory = OptionalLong.of(0);

    @Override
    public List<Path> make(GroupLimits limits) {
      throw new UnsupportedOperationException("a meter only reads");
    }

    @Override
    public OptionalLong cpuMicros() {
      return cpu;
    }

    @Override
    public OptionalLong memoryBytes() {
      return memory;
    }

    @Override
    public OptionalLong peakMemoryBytes() {
      return memory;
    }

    @Override
    public long outOfMemoryKills() {
      return 0;
    }

    @Override
    public List<Long> processes() {
      return List.of();
    }

    @Override
    public void limitSocketMemory(long bytes) {}

    @Override
    public void giveWay(boolean gives) {
      throw new UnsupportedOperationException("a meter only reads");
    }

    @Override
    public Freezer freezer() {
      return Freezer.ofVersionTwo(Path.of("/nowhere"));
    }
  }

  private Meter meter() {
    return new Meter(cgroup, folder.resolve("meter"), () -> now);
  }

  private void after(long nanos, long mib) {
    now += nanos;
    cgroup.memory = OptionalLong.of(mib * MIB);
  }

  private static long mibMillis(UsageReading reading) {
    return reading.memoryMibMillis().getAsLong();
  }

  @Test
  void memoryIsIntegratedByTrapezoids() {
    Meter meter = meter();
    after(0, 100);
    meter.sample();
    after(SECOND, 200);
    meter.sample();
    after(SECOND / 2, 200);

    assertThat(mibMillis(meter.read())).isEqualTo(150 * 1000 + 200 * 500);
  }

  @Test
  void shortStepsLoseNothing() {
    Meter meter = meter();
    after(0, 64);
    meter.sample();
    for (int i = 0; i < 10_000; i++) {
      after(100_700, 64);
      meter.sample();
    }

    assertThat(mibMillis(meter.read())).isEqualTo(64L * 1007);
  }

  @Test
  void gapWithoutAServerTakesTheSmallerEnd() {
    Meter first = meter();
    after(0, 100);
    first.sample();
    first.save();
    after(10 * SECOND, 40);
    Meter second = meter();
    second.sample();
    after(SECOND, 60);

    assertThat(mibMillis(second.read())).isEqualTo(40 * 10_000 + 50 * 1_000);
  }

  @Test
  void finishedMeterStandsStill() {
    Meter meter = meter();
    after(0, 10);
    meter.sample();
    after(SECOND, 10);
    cgroup.cpu = OptionalLong.of(77);
    UsageReading last = meter.finish();
    after(SECOND, 10);
    cgroup.cpu = OptionalLong.of(99);

    assertThat(meter.read()).isEqualTo(last);
    assertThat(meter.finish()).isEqualTo(last);
    assertThat(last.cpuMicros()).hasValue(77);
  }

  @Test
  void whatWasNeverMeasuredIsAbsent() {
    cgroup.cpu = OptionalLong.empty();
    cgroup.memory = OptionalLong.empty();
    Meter meter = meter();
    meter.sample();

    assertThat(meter.read()).isEqualTo(UsageReading.NOTHING);
  }

  @Test
  void readingThatVanishesKeepsWhatWasKnown() {
    Meter meter = meter();
    cgroup.cpu = OptionalLong.of(50);
    after(0, 10);
    meter.sample();
    meter.read();
    cgroup.cpu = OptionalLong.empty();
    cgroup.memory = OptionalLong.empty();
    now += SECOND;

    assertThat(meter.read().cpuMicros()).hasValue(50);
    assertThat(meter.read().peakMemoryBytes()).hasValue(10 * MIB);
  }

  @Test
  void brokenFileBeginsAnew() throws Exception {
    Files.writeString(folder.resolve("meter"), "no numbers");
    Meter meter = meter();
    after(0, 10);
    meter.sample();
    after(SECOND, 10);

    assertThat(mibMillis(meter.read())).isEqualTo(10_000);
  }
}
