package dev.sandkeeper.client.tour;

import dev.sandkeeper.client.SandkeeperClient;
import dev.sandkeeper.v1.CostRecord;
import dev.sandkeeper.v1.LimitPeriod;
import dev.sandkeeper.v1.ListCostRecordsRequest;
import dev.sandkeeper.v1.ListLimitsRequest;
import dev.sandkeeper.v1.Price;
import dev.sandkeeper.v1.QuotaStatus;
import dev.sandkeeper.v1.Sandbox;
import dev.sandkeeper.v1.SandboxUsage;
import dev.sandkeeper.v1.VerifyAuditChainResponse;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;

/** What the platform's operator reads afterwards: usage, price, bill, quota and the audit chain. */
final class Books {
  private static final long DAY_LIMIT_NANO_USD = 1_000_000_000L;
  private static final double MIB_MILLIS_PER_GIB_SECOND = 1024.0 * 1000.0;

  private final SandkeeperClient client;
  private final PrintStream out;

  Books(SandkeeperClient client, PrintStream out) {
    this.client = client;
    this.out = out;
  }

  /**
   * Gives the tenant a limit for the day when it has none, so that the quota has something to show.
   */
  void limitTheDay() {
    boolean limited =
        client
            .listLimits(ListLimitsRequest.getDefaultInstance())
            .anyMatch(limit -> limit.getPeriod() == LimitPeriod.LIMIT_PERIOD_DAY);
    if (!limited) {
      client.setLimit(LimitPeriod.LIMIT_PERIOD_DAY, DAY_LIMIT_NANO_USD);
      out.printf("Limit of the day set to USD %s%n", Text.usd(DAY_LIMIT_NANO_USD));
    }
  }

  /** Shows the books on an ended sandbox and checks that they agree. */
  void show(Sandbox sandbox) {
    SandboxUsage usage = client.getUsage(sandbox.getSandboxId());
    showUsage(usage);
    showPrice(client.getPrice(sandbox.getTier()));
    long billed = showCostRecords(sandbox.getSandboxId());
    if (billed != usage.getCostNanoUsd()) {
      throw new TourFailure(
          "the cost records add up to USD "
              + Text.usd(billed)
              + ", the usage says USD "
              + Text.usd(usage.getCostNanoUsd()));
    }
    showQuota();
    showAudit();
  }

  private void showUsage(SandboxUsage usage) {
    out.printf("%nUsage%n");
    List<List<String>> rows = new ArrayList<>();
    rows.add(
        List.of("lifetime", "processor", "memory", "peak memory", "executions", "cost in USD"));
    rows.add(
        List.of(
            Text.seconds(usage.getLifetime()),
            usage.hasCpuMicros()
                ? String.format(Locale.ROOT, "%.3f core-s", usage.getCpuMicros() / 1e6)
                : "not measured",
            usage.hasMemoryMibMillis()
                ? String.format(
                    Locale.ROOT,
                    "%.3f GiB-s",
                    usage.getMemoryMibMillis() / MIB_MILLIS_PER_GIB_SECOND)
                : "not measured",
            usage.hasPeakMemoryBytes()
                ? String.format(
                    Locale.ROOT, "%.1f MiB", usage.getPeakMemoryBytes() / (1024.0 * 1024.0))
                : "not measured",
            Long.toString(usage.getExecutionCount()),
            Text.usd(usage.getCostNanoUsd())));
    print(rows);
  }

  private void showPrice(Price price) {
    out.printf("%nPrice in USD%n");
    print(
        List.of(
            List.of("tier", "basis", "per second", "per core-second", "per GiB-second"),
            List.of(
                price.getTier(),
                Text.word(price.getBasis(), "PRICE_BASIS_"),
                price.getUsdPerSecond(),
                price.getUsdPerCoreSecond(),
                price.getUsdPerGibSecond())));
  }

  private long showCostRecords(String sandboxId) {
    List<CostRecord> records =
        client
            .listCostRecords(ListCostRecordsRequest.newBuilder().setSandboxId(sandboxId).build())
            .sorted(Comparator.comparing(record -> Text.instant(record.getStartTime())))
            .toList();

    List<List<String>> rows = new ArrayList<>();
    rows.add(List.of("from", "to", "for", "amount in USD"));
    long sum = 0;
    for (CostRecord record : records) {
      sum = Math.addExact(sum, record.getAmountNanoUsd());
      rows.add(
          List.of(
              Text.time(record.getStartTime()),
              Text.time(record.getEndTime()),
              record.getExecutionId().isEmpty()
                  ? "time in which nothing ran"
                  : "execution " + record.getExecutionId(),
              Text.usd(record.getAmountNanoUsd())));
    }
    rows.add(List.of("", "", "sum", Text.usd(sum)));
    out.printf("%nCost records%n");
    print(rows);
    return sum;
  }

  private void showQuota() {
    List<List<String>> rows = new ArrayList<>();
    rows.add(List.of("period", "limit", "spent", "held", "left", "resets"));
    for (QuotaStatus quota : client.getQuota()) {
      rows.add(
          List.of(
              Text.word(quota.getLimit().getPeriod(), "LIMIT_PERIOD_"),
              Text.usd(quota.getLimit().getAmountNanoUsd()),
              Text.usd(quota.getSpentNanoUsd()),
              Text.usd(quota.getReservedNanoUsd()),
              Text.usd(quota.getRemainingNanoUsd()),
              quota.hasResetTime() ? Text.dateTime(quota.getResetTime()) : "never"));
    }
    out.printf("%nQuota in USD%n");
    print(rows);
  }

  private void showAudit() {
    VerifyAuditChainResponse audit = client.verifyAuditChain();
    if (!audit.getIntact()) {
      throw new TourFailure("the audit chain is broken at event " + audit.getFirstBrokenSequence());
    }
    out.printf("%nAudit chain intact: %d events%n", audit.getEventCount());
  }

  private void print(List<List<String>> rows) {
    Text.table(rows).forEach(out::println);
  }
}
