package dev.sandkeeper.server.egress;

/** A connection is not made, or not gone on with. */
public final class RefusedException extends Exception {
  private static final long serialVersionUID = 1L;

  private final Verdict verdict;

  /** Says why. */
  public RefusedException(Verdict verdict) {
    super(verdict.message(), null, false, false); // one a request: a trace would cost and not help
    this.verdict = verdict;
  }

  /** Returns why. */
  public Verdict verdict() {
    return verdict;
  }
}
