package dev.sandkeeper.server.fuzz;

import com.sun.management.UnixOperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.management.JMException;
import javax.management.ObjectName;

/**
 * What a server in this JVM holds on to.
 *
 * @param counts threads, open files, and live objects of each class of the server
 */
record Growth(Map<String, Long> counts) {
  private static final Pattern LINE =
      Pattern.compile("(?m)^\\s*\\d+:\\s+(\\d+)\\s+\\d+\\s+(dev\\.sandkeeper\\.server\\.\\S+)");

  /** Counts now, after a collection of garbage. */
  static Growth now() {
    Map<String, Long> counts = new TreeMap<>();
    Matcher lines = LINE.matcher(histogram());
    while (lines.find()) {
      if (!lines.group(2).contains(".fuzz.")) {
        counts.put(lines.group(2), Long.valueOf(lines.group(1)));
      }
    }
    counts.put("threads", (long) ManagementFactory.getThreadMXBean().getThreadCount());
    counts.put(
        "open files",
        ManagementFactory.getPlatformMXBean(UnixOperatingSystemMXBean.class)
            .getOpenFileDescriptorCount());
    return new Growth(counts);
  }

  /** Returns what is more now than it was, by more than an amount. */
  Map<String, Long> since(Growth before, long allowed) {
    Map<String, Long> grown = new TreeMap<>();
    counts.forEach((what, count) -> {
      long more = count - before.counts.getOrDefault(what, 0L);
      if (more > allowed) {
        grown.put(what, more);
      }
    });
    return grown;
  }

  private static String histogram() {
    try {
      return (String)
          ManagementFactory.getPlatformMBeanServer()
              .invoke(
                  new ObjectName("com.sun.management:type=DiagnosticCommand"),
                  "gcClassHistogram",
                  new Object[] {new String[0]},
                  new String[] {String[].class.getName()});
    } catch (JMException e) {
      throw new IllegalStateException(e);
    }
  }
}
