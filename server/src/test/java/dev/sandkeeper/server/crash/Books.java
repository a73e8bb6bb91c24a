package dev.sandkeeper.server.crash;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.sql.SQLException;

/** What must hold of the books, whatever was killed. */
final class Books {
  private Books() {}

  /** All of the ledger's invariants, as the database itself recomputes them. */
  static void assertSound(ServerProcess server) throws IOException, SQLException {
    assertThat(
            server.query(
                "select invariant || ' ' || subject || ': ' || detail from ledger_violations()"))
        .isEmpty();
    // The segments of a sandbox that has ended cover its life from start to end and no more.
    assertThat(
            server.query(
                "select s.sandbox_id || ' ' || s.state || ' ended ' || s.end_time || ' metered "
                    + "until ' || coalesce(s.metered_until::text, '-') from sandbox s"
                    + " where s.state = 'TERMINATED' and s.metered_until is distinct from"
                    + " case when date_trunc('milliseconds', s.end_time)"
                    + " > date_trunc('milliseconds', s.start_time)"
                    + " then date_trunc('milliseconds', s.end_time) end"))
        .isEmpty();
    // Nothing was billed that had not been paid ahead, and nothing went over a limit.
    assertThat(server.query("select limit_id || ' ' || amount from quota_overrun")).isEmpty();
    // What runs in no sandbox is finished.
    assertThat(
            server.query(
                "select e.execution_id || ' in ' || s.state from execution e join sandbox s using"
                    + " (sandbox_id) where e.state = 'RUNNING' and s.end_time is not null"))
        .isEmpty();
  }

  /** Nothing ended later than it had paid for. */
  static void assertNothingPastPaid(ServerProcess server) throws IOException, SQLException {
    assertThat(
            server.query(
                "select sandbox_id || ' ended ' || end_time || ' paid until ' || paid_until from"
                    + " sandbox where state = 'TERMINATED' and end_time > paid_until"))
        .isEmpty();
  }
}
