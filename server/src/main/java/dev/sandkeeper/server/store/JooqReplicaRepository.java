package dev.sandkeeper.server.store;

import static dev.sandkeeper.jooq.Tables.REPLICA;
import static dev.sandkeeper.jooq.Tables.REPLICA_REGISTER;

import dev.sandkeeper.jooq.Routines;
import dev.sandkeeper.jooq.tables.records.ReplicaRegisterRecord;
import dev.sandkeeper.server.sandbox.ReplicaRepository;
import java.time.Duration;
import org.jooq.DSLContext;
import org.jooq.impl.DSL;

/** Servers in {@code replica}. */
final class JooqReplicaRepository implements ReplicaRepository {
  private final DSLContext context;

  JooqReplicaRepository(DSLContext context) {
    this.context = context;
  }

  @Override
  public Registering register(String nodeId, String place, Duration timeout) {
    ReplicaRegisterRecord answer =
        context.selectFrom(REPLICA_REGISTER(nodeId, place, timeout.toMillis())).fetchSingle();
    return answer.getIncarnation() == null
        ? new Registering.Taken(answer.getPlace(), answer.getRenewedUntil())
        : new Registering.Registered(answer.getIncarnation());
  }

  @Override
  public boolean renew(String nodeId, long incarnation, Duration timeout) {
    return context
        .select(Routines.replicaRenew(nodeId, incarnation, timeout.toMillis()))
        .fetchSingle()
        .value1();
  }

  @Override
  public int countAlive() {
    return context.fetchCount(
        REPLICA,
        REPLICA.RENEWED_UNTIL.gt(
            DSL.function("clock_timestamp", REPLICA.RENEWED_UNTIL.getDataType())));
  }
}
