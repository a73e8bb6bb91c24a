package dev.sandkeeper.server.engine.e2b;

import java.net.URI;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;

/**
 * Where E2B is, and how patient calls to it are.
 *
 * @param apiUrl the control API
 * @param domain what the names of sandboxes end with, unless E2B says another for a sandbox
 * @param sandboxUrl where the daemons of all sandboxes are reached; empty for the names by domain
 * @param calls the patience of calls
 * @param link the patience of links
 */
public record E2bSettings(
    URI apiUrl, String domain, Optional<URI> sandboxUrl, Calls calls, LinkTimes link) {

  /** Domains of E2B's own cloud, each of which has one host for the daemons of all sandboxes. */
  static final Set<String> CLOUD_DOMAINS =
      Set.of("e2b.app", "e2b.dev", "e2b.pro", "e2b-staging.dev");

  /** Checks the URLs and the domain. */
  public E2bSettings {
    checkUrl("apiUrl", apiUrl);
    sandboxUrl.ifPresent(url -> checkUrl("sandboxUrl", url));
    if (domain.isBlank()) {
      throw new IllegalArgumentException("domain: empty (expected: a DNS name)");
    }
  }

  /**
   * Makes those of an E2B by its domain.
   *
   * @param apiUrl empty for {@code https://api.} before the domain
   * @param sandboxUrl empty for the names by domain
   */
  public static E2bSettings of(String domain, Optional<URI> apiUrl, Optional<URI> sandboxUrl) {
    return new E2bSettings(
        apiUrl.orElseGet(() -> URI.create("https://api." + domain)),
        domain,
        sandboxUrl,
        Calls.DEFAULT,
        LinkTimes.DEFAULT);
  }

  /** Returns whether it is E2B's own cloud, which keeps records of what ran. */
  boolean isCloud() {
    return CLOUD_DOMAINS.contains(domain);
  }

  /**
   * The patience of calls that have an answer.
   *
   * @param connect for a connection
   * @param request for one try
   * @param whole for a call with all its tries and the waits between them
   * @param tries how often a call that may be repeated is tried at most
   * @param firstWait before the second try at least; doubles with each further one
   * @param longestWait before a try, unless E2B asks for more
   */
  public record Calls(
      Duration connect,
      Duration request,
      Duration whole,
      int tries,
      Duration firstWait,
      Duration longestWait) {

    /** For E2B's cloud. */
    public static final Calls DEFAULT =
        new Calls(
            Duration.ofSeconds(10),
            Duration.ofSeconds(60),
            Duration.ofSeconds(120),
            3,
            Duration.ofSeconds(1),
            Duration.ofSeconds(10));

    public Calls {
      checkPositive("connect", connect);
      checkPositive("request", request);
      checkPositive("whole", whole);
      checkPositive("firstWait", firstWait);
      checkPositive("longestWait", longestWait);
      if (tries < 1) {
        throw new IllegalArgumentException("tries: " + tries + " (expected: >= 1)");
      }
    }
  }

  /**
   * The patience of links.
   *
   * @param ping how often the other end is asked for a sign of life
   * @param silence after how long without one a link is broken
   * @param firstWait before a broken link is made anew at most; doubles with each failure in a row
   * @param longestWait before a broken link is made anew
   * @param longestRetryAfter the same where E2B says when: what is paid for is not to be out of
   *     reach for longer
   */
  public record LinkTimes(
      Duration ping,
      Duration silence,
      Duration firstWait,
      Duration longestWait,
      Duration longestRetryAfter) {

    private static final int MAX_DOUBLINGS = 16;

    /** For links over the Internet. */
    public static final LinkTimes DEFAULT =
        new LinkTimes(
            Duration.ofSeconds(10),
            Duration.ofSeconds(30),
            Duration.ofMillis(100),
            Duration.ofSeconds(10),
            Duration.ofMinutes(1));

    public LinkTimes {
      checkPositive("ping", ping);
      checkPositive("firstWait", firstWait);
      checkPositive("longestWait", longestWait);
      checkPositive("longestRetryAfter", longestRetryAfter);
      if (silence.compareTo(ping) <= 0) {
        throw new IllegalArgumentException("silence: " + silence + " (expected: > " + ping + ")");
      }
    }

    /**
     * Returns the longest that is waited after so many failures in a row.
     *
     * @param failures 1 or more
     */
    Duration waitAfter(int failures) {
      Duration wait = firstWait.multipliedBy(1L << Math.min(failures - 1, MAX_DOUBLINGS));
      return wait.compareTo(longestWait) < 0 ? wait : longestWait;
    }
  }

  private static void checkPositive(String name, Duration value) {
    if (!value.isPositive()) {
      throw new IllegalArgumentException(name + ": " + value + " (expected: > 0)");
    }
  }

  private static void checkUrl(String name, URI url) {
    String scheme = url.getScheme();
    if (url.getHost() == null
        || scheme == null
        || !(scheme.equals("https") || scheme.equals("http"))) {
      throw new IllegalArgumentException(
          name + ": " + url + " (expected: a URL that begins with https:// or http://)");
    }
  }
}
